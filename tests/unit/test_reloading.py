"""How `trimtab reload` hears from the process that it told."""

import os

import pytest

from trimtab.errors import ConfigError
from trimtab.server import reloading
from trimtab.server.serving import marked
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
