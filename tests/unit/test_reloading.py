"""How `trimtab reload` hears from the process that it told."""

import os
from pathlib import Path

import pytest

from trimtab.errors import ConfigError
from trimtab.server import reloading
from trimtab.server.serving import _noted, marked
from trimtab.settings import parse


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A gateway that is this process, and answers each reload by a clock that goes backwards."""
    given = parse({}, folder=tmp_path, home=tmp_path, name="house", secrets={})
    told = tmp_path / f"reloaded.{os.getpid()}"
    clock, faults = iter(range(2_000_000_000, 0, -3600)), [""]

    def reload(pid, signal):
        assert pid == os.getpid()
        told.write_text(faults[-1], "utf-8")
        at = next(clock)
        os.utime(told, (at, at))

    monkeypatch.setattr(reloading.os, "kill", reload)
    with marked(tmp_path / "serving"):
        yield given, faults


def test_a_clock_that_was_set_back_hides_no_reload(served):
    given, faults = served
    for _ in range(3):
        assert reloading.reload(given) == [os.getpid()]
    faults.append("no such kind")
    with pytest.raises(ConfigError, match="no such kind"):
        reloading.reload(given)


def test_workers_that_are_done_at_the_same_moment_are_all_heard(tmp_path, monkeypatch):
    """The second has written how it went before the first has given that its name."""
    given, rename = parse({}, folder=tmp_path, home=tmp_path, name="house", secrets={}), Path.replace

    def replace(part, file):
        monkeypatch.setattr(Path, "replace", rename)
        monkeypatch.setattr(os, "getpid", lambda: 2)
        _noted(given, "of 2")
        return rename(part, file)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    _noted(given, "of 1")
    told = {file.name: file.read_text("utf-8") for file in tmp_path.iterdir()}
    assert told == {"reloaded.1": "of 1", "reloaded.2": "of 2"}
