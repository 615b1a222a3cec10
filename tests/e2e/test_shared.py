"""What workers share: idempotent requests, metrics, requests at a time; and what outlives a worker or a reload."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from _many import Place, Upstream, at_once, ended, joined, until, upstream, workers

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system does not list children")
METRICS = '[[record]]\nkind = "metrics"'
SUM = "What is 15% of 240?"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def claimed(place: Place, up: Upstream) -> int:
    """The process that answers the one request with a key, once it has asked upstream."""
    until(lambda: up.calls)
    return int(place.sql("select owner from claims")[0][0].split(".")[0])


def test_a_key_goes_upstream_once_over_two_workers_and_a_reload(place: Place) -> None:
    with upstream() as up:
        place.write(up.model)
        started = place.serve("--workers", "2")
        try:
            first, said = at_once(12, lambda: place.ask("Say it.", key="k"))  # by chance none but one in 2048 times one
            claimed(place, up)
            assert place.reload().returncode == 0
            after, more = at_once(6, lambda: place.ask("Say it.", key="k"))
            others, no = at_once(2, lambda: place.ask("Say another.", key="k"))
            time.sleep(0.5)  # time in which a second call would come
            assert (up.calls, said, more, no) == (1, [], [], [])
            up.gate.set()
            joined([*first, *after, *others])
            assert {*said, *more} == {(200, said[0][1])}
            assert [status for status, _ in no] == [409, 409]
            assert up.calls == 1
            controls, found = at_once(12, lambda: place.ask("Say it."))
            joined(controls)
            assert (up.calls, {status for status, _ in found}) == (13, {200}), "the control: without a key each goes"
            until(lambda: place.sql("select count(*) from claims") == [(0,)])
        finally:
            code = ended(started)
    assert code == 0


def test_a_worker_that_dies_while_it_answers_holds_a_key_no_longer_than_its_lease(place: Place) -> None:
    with upstream() as up:
        place.write(up.model)
        started = place.serve("--workers", "2")
        try:
            threads, lost = at_once(1, lambda: _cut(place, "k"))
            pid = claimed(place, up)
            os.kill(pid, signal.SIGKILL)
            joined(threads)
            assert lost == ["cut"]
            waiting, said = at_once(4, lambda: place.ask("Say it.", key="k"))
            until(lambda: len(workers(started)) == 2 and pid not in workers(started))
            ((ends,),) = place.sql("select until from claims")
            assert ends - time.time() <= 15
            assert (up.calls, said) == (1, []), "they wait for the lease"
            place.sql("update claims set until = 0")  # it runs out
            until(lambda: up.calls == 2)
            assert claimed(place, up) != pid
            up.gate.set()
            joined(waiting)
            assert set(said) == {(200, said[0][1])}
            assert up.calls == 2
        finally:
            ended(started)


def _cut(place: Place, key: str) -> str:
    try:
        return str(place.ask("Say it.", key=key))
    except OSError:
        return "cut"


def test_counters_are_of_all_workers_and_outlive_a_reload_and_a_kill(place: Place) -> None:
    place.write(METRICS)
    started = place.serve("--workers", "2")
    name = "trimtab_requests_total"
    try:

        def sends(n: int, before: int) -> None:
            threads, said = at_once(n, lambda: place.ask(SUM)[0])
            joined(threads)
            assert said == [200] * n
            until(lambda: place.counted(name) == before + n)

        def holds(sent: int) -> None:
            """Whoever is scraped, as often as not."""
            assert {place.counted(name) for _ in range(8)} == {sent}

        sends(24, 0)
        holds(24)
        assert place.reload().returncode == 0
        holds(24)
        sends(12, 24)
        pid = workers(started)[0]
        os.kill(pid, signal.SIGKILL)
        holds(36)
        until(lambda: "Worker 0 serves again." in place.log() or "Worker 1 serves again." in place.log())
        holds(36)
        sends(12, 36)
        assert place.counted("trimtab_request_duration_seconds_count") == 48
        assert place.counted("trimtab_build_info") == 1
        until(lambda: place.counted("trimtab_http_room") == 2048)

        answered, stop = [], threading.Event()

        def work() -> None:
            while not stop.is_set():
                if _answered(place):
                    answered.append(time.time())

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(answered) > 100)
        before = place.counted(name)
        pid = workers(started)[0]
        os.kill(pid, signal.SIGKILL)
        written = [file.stat().st_mtime for file in place.folder.glob("trimtab-*/*.counts")]
        assert len(written) == 2
        until(lambda: len(workers(started)) == 2 and pid not in workers(started))
        assert place.counted(name) >= before
        stop.set()
        for thread in threads:
            thread.join()
        least = 48 + len(answered) - sum(at >= min(written) - 0.05 for at in answered)
        until(lambda: place.counted(name) >= least)  # what was counted after the last write is what a kill takes
        assert place.counted(name) <= 48 + len(answered) + 8, "and requests whose answer was cut by the kill"
    finally:
        code = ended(started)
    assert code == 0


def _answered(place: Place) -> bool:
    try:
        return place.ask(SUM)[0] == 200
    except OSError:
        return False


def test_a_reload_of_one_process_keeps_the_counters_too(place: Place) -> None:
    place.write(METRICS)
    started = place.serve()
    try:
        for sent in range(3, 10, 3):
            for _ in range(3):
                assert place.ask(SUM)[0] == 200
            assert place.counted("trimtab_requests_total") == sent
            assert place.reload().returncode == 0
            assert place.counted("trimtab_requests_total") == sent
    finally:
        ended(started)


@pytest.mark.parametrize("count", ["1", "2"])
def test_it_says_that_it_is_not_ready_before_it_takes_no_more(place: Place, count: str) -> None:
    place.write(server="notice = 3.0")
    started = place.serve("--workers", count)
    assert place.send("GET", "/readyz")[0] == 200
    started.send_signal(signal.SIGTERM)
    status, said = until(lambda: (found := place.send("GET", "/readyz"))[0] == 503 and found)
    assert (status, json.loads(said)["ready"], "It ends" in said) == (503, False, True)
    assert place.send("GET", "/healthz")[0] == 200
    assert place.ask(SUM)[0] == 200, "whoever has not heard yet is served"
    assert started.wait(30) == 0


def test_a_worker_is_started_by_what_was_last_served_by_where_the_recipe_is_broken(place: Place) -> None:
    place.write(METRICS)
    started = place.serve("--workers", "2")
    try:
        place.write('[[guard]]\nkind = "no_such"')
        assert place.reload().returncode == 2
        for pid in workers(started):
            os.kill(pid, signal.SIGKILL)  # all of them: nobody is left who could serve meanwhile
            until(lambda gone=pid: len(workers(started)) == 2 and gone not in workers(started))
        until(lambda: place.log().count("and is started anew") == 2)
        until(lambda: _answered(place))
        threads, said = at_once(12, lambda: place.ask(SUM)[0])
        joined(threads)
        assert said == [200] * 12
        until(lambda: place.counted("trimtab_requests_total") == 13)  # the metrics of the old recipe: it serves by that
    finally:
        code = ended(started)
    assert code == 0
    assert "again and again" not in place.log()


def test_the_others_go_on_where_a_worker_cannot_be_started(place: Place) -> None:
    (place.folder / "kinds").mkdir()
    kind = place.folder / "kinds" / "fine.py"
    fine = "import msgspec\nclass Options(msgspec.Struct): ...\ndef build(options, tools): return Guard()\n"
    fine += "class Guard:\n    async def check(self, found, request):\n        from trimtab.types import OK\n"
    fine += "        return OK\n"
    kind.write_text(fine)
    place.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(place.folder), os.environ.get("PYTHONPATH"))))
    place.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    place.write('[[guard]]\nkind = "kinds.fine"')
    started = place.serve("--workers", "2")
    try:
        kind.write_text("raise ValueError('broken meanwhile')\n")
        os.kill(workers(started)[0], signal.SIGKILL)
        until(lambda: "ends again and again: 1 of 2 serve" in place.log())
        assert [place.ask(SUM)[0] for _ in range(6)] == [200] * 6
        assert started.poll() is None
        kind.write_text(fine)
        until(lambda: place.reload().returncode == 0 and len(workers(started)) == 2)
    finally:
        code = ended(started)
    assert code == 0


def test_requests_at_a_time_are_those_of_all_workers_and_a_dead_one_has_none(place: Place) -> None:
    with upstream() as up:
        place.write("[[limit]]\nconcurrency = 2\n" + up.model, 'auth = "auto"')
        started = place.serve("--workers", "2")
        try:
            threads, said = at_once(8, lambda: _status(place))
            until(lambda: len(said) == 6)
            assert (up.calls, said) == (2, [429] * 6)
            assert place.reload().returncode == 0
            assert place.ask("Say it.")[0] == 429, "what the systems before a reload have counts too"
            for pid in workers(started):
                os.kill(pid, signal.SIGKILL)
            joined(threads)
            assert said[6:] == ["cut", "cut"]
            up.gate.set()
            until(lambda: _status(place) == 200)
            assert up.calls == 3
        finally:
            ended(started)


def _status(place: Place) -> object:
    try:
        return place.ask("Say it.")[0]
    except OSError:
        return "cut"
