"""kill -9 at every boundary of a run, and on with it: every input ends once, and no side effect happens twice.

The side effects are lines of a file and POSTs to a server on loopback that counts; see `_killed.py` for the boundaries.
"""

import json
import subprocess
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

pytestmark = pytest.mark.timeout(600)
ENDS = {"done", "failed"}


@pytest.fixture(scope="module")
def server():
    """What it was told, by Idempotency-Key: as a receiver that knows a key again does, it acts once on each."""
    told = Counter()

    class Counts(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            told[self.headers["idempotency-key"]] += 1
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Counts) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}/", told
        serving.shutdown()


@pytest.fixture(scope="module")
def cases(server, tmp_path_factory):
    """All cases of both flows: two processes for the machine's two cores."""
    url, _ = server
    root = tmp_path_factory.mktemp("killed")
    script = Path(__file__).with_name("_killed.py")
    started = {
        name: subprocess.Popen([sys.executable, script, root, url, name, "1", "1"], stdout=subprocess.PIPE, text=True)
        for name in ("whole", "undone")
    }
    found = {}
    for name, process in started.items():
        out, _ = process.communicate(timeout=590)
        assert process.returncode == 0
        found[name] = [json.loads(line) for line in out.splitlines()]
    return found


def happened(case):
    """How often each side effect happened, by what it is and for which line of the input."""
    return Counter((line.split(" ")[0], line.split(":")[1]) for line in case["effects"])


@pytest.mark.parametrize("name", ["whole", "undone"])
def test_every_boundary_was_one_where_it_was_killed_until_there_was_none_left(cases, name):
    killed = [case["killed"] for case in cases[name]]
    assert len(killed) > 30
    assert killed == [True] * (len(killed) - 1) + [False]


@pytest.mark.parametrize("name", ["whole", "undone"])
def test_every_input_ends_once(cases, name):
    for case in cases[name]:
        lines = [(1, True), (2, True)] if name == "whole" else [(1, True)]
        assert [(one["line"], one["state"] in ENDS) for one in case["said"]] == lines, case


@pytest.mark.parametrize("name", ["whole", "undone"])
def test_no_side_effect_happens_twice(cases, name):
    for case in cases[name]:
        assert all(many == 1 for many in happened(case).values()), case
        assert len(case["effects"]) == len(set(case["effects"])), case


def test_what_ends_well_did_all_of_it_and_nothing_but_a_persons_no_ends_otherwise(cases):
    for case in cases["whole"]:
        for line, wanted in ((1, {"first", "a", "b"}), (2, {"first"})):
            did = {what for what, item in happened(case) if item == str(line)}
            said = case["said"][line - 1]
            if said["state"] == "done":
                assert did == wanted, case
            else:
                assert said["error"]["code"] == "denied", case
                assert did < wanted, case
    assert sum(one["state"] == "failed" for case in cases["whole"] for one in case["said"]) > 0
    assert all(one["state"] == "done" for one in cases["whole"][-1]["said"]), "and with no kill all is done"


def test_what_was_done_is_taken_back_once(cases):
    for case in cases["undone"]:
        did = happened(case)
        for what in ("first", "a", "b"):
            assert did[f"un{what}", "1"] <= did[what, "1"] <= 1, case
    last = Counter(line.split(" ")[0] for line in cases["undone"][-1]["effects"])
    assert last == {"first": 1, "unfirst": 1, "a": 1, "b": 1, "una": 1, "unb": 1}


def test_a_post_is_repeated_only_with_the_key_that_it_had(cases, server):
    _, told = server
    ends = [one for name in cases for case in cases[name] for one in case["said"]]
    runs = {key.partition(":")[0] for key in told}
    assert len(told) == len({(key.split(":")[0], key.split(":")[1]) for key in told}), "one key for each item of a run"
    assert len(runs) <= len(cases["whole"]) + len(cases["undone"]) + 2
    assert max(told.values()) > 1, "some were killed between the POST and its outcome, and told again"
    assert len(told) <= len(ends) + 4
