"""Side effects over HTTP: what is done again, what surely did not happen, and what nobody knows."""

import asyncio
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from _works import decide, defined, done, system, through, write

from trimtab.errors import ConfigError

SOON = {"times": 2, "wait": 0.001}


@pytest.fixture
def server():
    """Answers by a script of statuses, the last one for ever; 0 hangs up. What it heard: key, token and body."""
    heard, script = [], [200]

    class Scripted(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            heard.append((self.headers["idempotency-key"], self.headers["authorization"], body))
            status = script.pop(0) if len(script) > 1 else script[0]
            if status:
                self.send_response(status)
                self.send_header("location", "http://127.0.0.1:1/")
                self.end_headers()
                self.wfile.write(b'{"id": 7}')

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}/orders", heard, script
        serving.shutdown()


def post(url, **more):
    return defined({"name": "told", "kind": "post", "url": url, "body": {"n": "{input.n}"}, "retry": SOON, **more})


def test_a_post_carries_its_key_and_its_token(tmp_path, server, monkeypatch):
    url, heard, _ = server
    monkeypatch.setenv("ORDERS_TOKEN", "s3cret")
    (said,) = done(tmp_path, post(url, key_env="ORDERS_TOKEN"), {"n": 5})
    assert said["result"]["told"] == {"status": 200, "said": {"id": 7}}
    ((key, token, body),) = heard
    assert key.startswith("run_")
    assert token == "Bearer s3cret"
    assert body == {"n": 5}
    assert b"s3cret" not in (tmp_path / "trimtab.db").read_bytes()


def test_a_token_that_is_not_set_stops_the_run(tmp_path, server):
    with pytest.raises(ConfigError, match="ORDERS_TOKEN"):
        done(tmp_path, post(server[0], key_env="ORDERS_TOKEN"), {"n": 5})


@pytest.mark.parametrize(
    ("statuses", "repeat", "calls", "state", "code"),
    [
        ([429, 503, 200], "person", 3, "done", None),
        ([400], "person", 1, "failed", "effect_refused"),
        ([302], "person", 1, "failed", "effect_refused"),
        ([500, 200], "person", 1, "waiting", None),
        ([0, 200], "person", 1, "waiting", None),
        ([500, 0, 200], "same_key", 3, "done", None),
        ([500], "same_key", 3, "waiting", None),
    ],
)
def test_what_is_done_again_is_what_surely_did_not_happen_or_is_known_by_its_key(
    tmp_path, server, statuses, repeat, calls, state, code
):
    url, heard, script = server
    script[:] = statuses
    (said,) = done(tmp_path, post(url, repeat=repeat), {"n": 1})
    assert said["state"] == state
    assert said.get("error", {}).get("code") == code
    assert len(heard) == calls
    assert len({key for key, *_ in heard}) == 1


def test_a_server_that_is_not_there_surely_did_nothing(tmp_path):
    (said,) = done(tmp_path, post("http://127.0.0.1:9/"), {"n": 1})
    assert said["error"]["code"] == "effect_down"


def test_an_address_that_may_not_be_dialled_is_not(tmp_path):
    (said,) = done(tmp_path, post("http://169.254.169.254/latest"), {"n": 1})
    assert said["error"]["code"] == "egress_denied"


def test_a_person_who_says_that_it_happened_lets_it_go_on(tmp_path, server):
    url, heard, script = server
    script[:] = [500]

    async def go():
        async with system(tmp_path) as on:
            path = write(tmp_path, {"n": 1})
            await through(on, post(url), path)
            await decide(on)
            return await through(on, post(url), path, resume=True)

    (said,) = asyncio.run(go())
    assert said["result"]["told"]["confirmed_by"] == "ann"
    assert len(heard) == 1
