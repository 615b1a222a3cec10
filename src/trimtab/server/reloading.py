"""Have the gateway that runs in a state folder read its recipe anew, and hear how that went."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from trimtab.errors import ConfigError
from trimtab.settings import Settings

PATIENCE = 60.0
"""Seconds that each process has to say how it went."""


def reload(settings: Settings) -> list[int]:
    """The processes that serve by the new settings now. Raises `ConfigError` where none runs or one could not."""
    pid = _running(settings.home)
    before = _told(settings.home)
    os.kill(pid, signal.SIGHUP)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        now = _told(settings.home)
        fresh = [f for f in _workers(settings.home, pid) if f in now and now[f] != before.get(f)]  # clocks are set back
        if fresh and len(fresh) == len(_workers(settings.home, pid)):
            faults = [text for file in fresh if (text := file.read_text("utf-8"))]
            if faults:
                raise ConfigError(f"Not reloaded, what ran before goes on: {faults[0]}", "Mend that, and reload again.")
            return sorted(int(file.suffix[1:]) for file in fresh)
        time.sleep(0.05)
    raise ConfigError(f"Process {pid} did not say within {PATIENCE:g} s how it went.", "Its log says more.")


def _running(home: Path) -> int:
    """The process that serves from a state folder."""
    with suppress(OSError, ValueError, ImportError), (home / "serving").open(encoding="utf-8") as file:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # held by who wrote it; else that one was killed, and its id may be another program's
            return int(file.read())
    raise ConfigError(f"No gateway serves from {home}.", "Start it with `trimtab serve`, or name its recipe.")


def _workers(home: Path, pid: int) -> list[Path]:
    """The file of each process that will say how it went: the one that was told, or its workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    pids = children.read_text().split() if children.exists() else []
    served = [home / f"reloaded.{child}" for child in pids if _serves(child)]
    return served or [home / f"reloaded.{pid}"]


def _serves(pid: str) -> bool:
    with suppress(OSError):
        return b"--worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False


def _told(home: Path) -> dict[Path, float]:
    return {file: file.stat().st_mtime_ns for file in home.glob("reloaded.*") if file.suffix[1:].isdigit()}
