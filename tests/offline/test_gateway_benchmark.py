"""The gateway's benchmark: its C upstream and load agree with each other, and its table says what was measured."""

import json
import os
import shutil
import socket
import sys
import urllib.request
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def benchmarks():
    """Its modules, importable as when it is run."""
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))
    for name in ("gateway", "target", "peers", "table", "load", "processes"):
        sys.modules.pop(name, None)


@pytest.fixture
def driver(tmp_path, free_port):
    """An upstream that runs, and the load beside it."""
    import load

    if not (shutil.which("gcc") and shutil.which("taskset")):
        pytest.skip("no C compiler, or no taskset")
    load.compiled(tmp_path)
    driver = load.Driver(tmp_path, min(os.sched_getaffinity(0)), free_port)
    with driver.upstream():
        yield driver


@pytest.fixture
def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_the_load_reads_every_token_that_the_upstream_wrote(driver, free_port):
    import load

    raw = load.request("/v1/chat/completions", free_port, "mock", {}, stream=True)
    run = driver.streams(raw, free_port, 3, 50, 5, paced=False, again=False)
    assert (run["streams"], run["chunks"], run["errors"]) == (3, 150, 0)
    assert driver.seen() == {"requests": 3, "chunks": 150}
    assert 0 <= run["transit_ms"]["p50"] <= run["transit_ms"]["max"]


def test_a_stream_that_is_cut_or_short_is_an_error(driver, free_port):
    import load

    raw = load.request("/v1/chat/completions", free_port, "mock", {}, stream=True)
    driver._get("/set?tokens=3&rate=0")  # and the load expects four
    numbers = (str(free_port), str(driver._written(raw)), "1", "4", "0", "5", "0", "0")
    run = driver._run([str(driver._folder / "stream"), *numbers], {})
    assert (run["errors"], run["streams"]) == (1, 0)
    assert run["first_error"].startswith("tokens are missing")


def test_a_whole_completion_has_the_text_the_usage_and_its_own_id(driver, free_port):
    driver.whole()
    url = f"http://127.0.0.1:{free_port}/v1/chat/completions"
    said = [json.load(urllib.request.urlopen(url, b"{}", timeout=5)) for _ in range(2)]
    assert said[0]["choices"][0]["message"]["content"] == "word " * 15 + "word"
    assert said[0]["usage"]["completion_tokens"] == 16
    assert said[0]["id"] != said[1]["id"]


@pytest.mark.parametrize("most", [0, 1, 7, 9, 100, 700])
@pytest.mark.parametrize("share", [0.001, 0.05, 1.0])
def test_the_search_finds_what_is_kept_on_pace(most, share):
    import gateway

    class Limited:
        def streams(self, count, tokens, seconds, **_):
            return {"on_time": 100 if count <= most else 90, "due": 100, "errors": 0}

    found = gateway.kept(Limited(), 1.0, share)["streams"]
    assert found <= most
    assert found >= min(most, gateway.MOST) * 0.85 - 1


def test_ratios_are_taken_within_a_round_and_the_median_is_shown(capsys):
    import table

    def run(cpu, p50, rss):
        whole = {"per_second": 1.0, "p50_us": p50, "cpu_us_per_request": cpu, "errors": 0}
        stream = {"chunks": 10, "seconds": 1.0, "cpu_us_per_chunk": cpu, "first_ms": {"p50": p50}, "errors": 0,
                  "transit_ms": {"p50": 1.0, "p99": 2.0}}  # fmt: skip
        return {"whole_1": whole, "whole_32": whole, "whole_128": whole, "bulk": stream, "first": stream,
                "paced": stream, "rss_mb": rss}  # fmt: skip

    bare = run(None, 10.0, None)
    rounds = [
        {"direct": bare, "nginx": run(20.0 * noise, 60.0, 7.0), "trimtab": run(100.0 * noise, 210.0, 70.0)}
        for noise in (1.0, 3.0, 2.0)
    ]
    rounds[0]["trimtab"]["bulk"] = {**rounds[0]["trimtab"]["bulk"], "errors": 2, "first_error": "not 200"}
    rows = table.rows(rounds)
    assert rows["requests/s per core at 32 connections"] == {"nginx": 25_000, "trimtab": 5_000}
    assert rows["requests/s per core, over nginx"] == {"trimtab": pytest.approx(0.2)}
    assert rows["added p50 at 1 connection, over nginx's added"] == {"trimtab": 4}
    assert rows["SSE in bulk: CPU per chunk, over nginx"] == {"trimtab": pytest.approx(5)}
    assert rows["requests/s per core, over LiteLLM's best"] == {}
    assert table.failures(rounds) == ["trimtab, bulk, round 1: 2 failed not 200"]
    about = {"date": "d", "machine": {"cpu": "c", "cores": 2, "kernel": "k"}, "run": {"rounds": 3, "seconds": 1},
             "tools": "t", "peers": {"trimtab": {"version": "v", "configuration": "all"}}}  # fmt: skip
    table.show(rows, about, {"portkey": "not installed"}, [])
    shown = capsys.readouterr().out
    assert "| requests/s per core, over nginx | - | - | 0.2 | 0.20 | 0.35 |" in shown
    assert "- portkey: skipped, not installed" in shown
    assert set(table.BARS) <= set(rows)
