"""Several workers on one port, and a recipe that is read anew under load: nothing is dropped, overspent or lost."""

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from _many import ENTRY, INJECTION, PATTERNS, Place, ended, until

RELOADS = 20


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_recipe_is_read_anew_and_no_request_is_dropped(place: Place) -> None:
    started = place.serve()
    seen, stop = Counter[str](), threading.Event()

    def work(stream: bool) -> None:
        while not stop.is_set():
            status, said = place.ask("What is 15% of 240?", stream)
            fine = status == 200 and "36" in said and (not stream or said.endswith("data: [DONE]\n\n"))
            seen["fine" if fine else f"{status}: {said[:200]}"] += 1

    threads = [threading.Thread(target=work, args=(stream,)) for stream in (False, True)]
    for thread in threads:
        thread.start()
    try:
        assert "36" not in place.ask(INJECTION)[1]
        for turn in range(RELOADS):
            place.write(PATTERNS if turn % 2 == 0 else "")
            done = place.reload()
            assert (done.returncode, json.loads(done.stdout)["reloaded"]) == (0, [started.pid]), done.stderr
            assert ("OVERRIDE" in place.ask(INJECTION)[1]) is (turn % 2 == 0)
        place.write('[[guard]]\nkind = "no_such"')
        done = place.reload()
        assert done.returncode != 0
        assert "no_such" in done.stderr
        assert "OVERRIDE" not in place.ask(INJECTION)[1], "what ran before goes on"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        code = ended(started)
    assert code == 0
    assert set(seen) == {"fine"}
    assert place.rows() == seen["fine"] + RELOADS + 2, "the probes between are recorded too"
    assert "Reloaded." in (place.folder / "log").read_text()


def test_without_a_gateway_there_is_nothing_to_reload(place: Place) -> None:
    done = place.reload()
    assert done.returncode != 0
    assert "No gateway serves" in done.stderr


def test_workers_share_a_port_a_budget_and_a_ledger_and_one_that_is_killed_is_replaced(place: Place) -> None:
    place.write('[[limit]]\nper = "day"\nrequests = 40', 'auth = "auto"')
    started = place.serve("--workers", "2")
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
    if not children.exists():
        pytest.skip("this system does not list a process's children")
    try:
        first = [int(pid) for pid in children.read_text().split()]
        assert len(first) == 2
        statuses = Counter[int]()

        def work(times: int) -> None:
            for _ in range(times):
                statuses[place.ask("What is 15% of 240?")[0]] += 1

        threads = [threading.Thread(target=work, args=(6,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == {200: 24}
        until(lambda: place.rows() == 24)  # exact: what is queued is on disk before one is killed
        os.kill(first[0], signal.SIGKILL)
        end = time.monotonic() + 30
        while time.monotonic() < end and (
            set(pids := children.read_text().split()) == set(map(str, first)) or len(pids) < 2
        ):
            time.sleep(0.05)
        assert len(pids) == 2
        assert str(first[0]) not in pids
        done = place.reload()
        while done.returncode == 0 and len(json.loads(done.stdout)["reloaded"]) < 2 and time.monotonic() < end:
            done = place.reload()  # the new worker was still starting, and reads the recipe by itself
        assert (done.returncode, len(json.loads(done.stdout)["reloaded"])) == (0, 2), done.stderr
        while statuses.total() < 80:
            statuses[place.ask("What is 15% of 240?")[0]] += 1
        assert set(statuses) == {200, 429}
        assert 24 < statuses[200] <= 40, "no more than the limit; what the killed worker had leased may be lost"
    finally:
        code = ended(started)
    assert code == 0
    assert not children.exists()
    refused = place.sql("select count(*) from traces where outcome = 'error'")[0][0]
    assert place.rows() - refused == statuses[200], "every answer once: the killed worker was idle, so it lost none"


def test_the_id_of_a_gateway_that_was_killed_is_nobodys(place: Place) -> None:
    """It may be another program's by now, which a SIGHUP would end."""
    started = place.serve()
    started.kill()
    started.wait(30)
    with subprocess.Popen(["sleep", "60"]) as another:
        (place.folder / "home" / "many" / "serving").write_text(f"{another.pid}\n")
        done = place.reload()
        assert another.poll() is None
        another.kill()
    assert done.returncode != 0
    assert "No gateway serves" in done.stderr


def test_a_kind_that_raises_anything_while_it_is_built_changes_nothing(place: Place) -> None:
    (place.folder / "kinds").mkdir()
    options, build = "class Options(msgspec.Struct): ...", "def build(options, tools): raise ValueError('no luck')"
    (place.folder / "kinds" / "broken.py").write_text(f"import msgspec\n{options}\n{build}\n")
    place.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(place.folder), os.environ.get("PYTHONPATH"))))
    started = place.serve()
    try:
        place.write('[[guard]]\nkind = "kinds.broken"')
        done = place.reload()
        assert done.returncode == 2
        assert "ValueError: no luck" in done.stderr
        assert "36" in place.ask("What is 15% of 240?")[1], "what ran before goes on"
    finally:
        code = ended(started)
    assert code == 0


def test_what_a_reload_cannot_change_is_said(place: Place) -> None:
    started = place.serve()
    place.write(server="header_timeout = 3.0")
    assert place.reload().returncode == 0
    assert ended(started) == 0
    assert "Stays as it is until the next start: server.header_timeout." in (place.folder / "log").read_text()


def test_workers_end_with_their_supervisor_and_let_no_other_gateway_on_their_port(place: Place, tmp_path: Path) -> None:
    (folder := tmp_path / "other").mkdir()
    other = Place(folder)
    started = place.serve("--workers", "2")
    command = [*ENTRY, "serve", str(folder), "--workers", "2", "--port", place.host.rpartition(":")[2]]
    try:
        refused = subprocess.run(command, env=other.environ, capture_output=True, text=True, timeout=60, check=False)
    finally:
        started.kill()
        started.wait(30)
    assert refused.returncode == 2
    assert "Address already in use" in refused.stderr
    end = time.monotonic() + 30
    while (answers := place.answers()) and time.monotonic() < end:
        time.sleep(0.05)
    assert not answers
