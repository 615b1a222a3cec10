"""How commands end: a reader that went away, an interrupt at the start, wrong usage."""

import subprocess
import sys

import pytest

from trimtab import cli
from trimtab.cli import app

CALL = [sys.executable, "-m", "trimtab"]


@pytest.mark.parametrize("args", [["plan", "models"], ["recipes", "--json"], ["--help"], ["--version"]])
def test_a_reader_that_went_away_is_no_fault(args, tmp_path):
    """`trimtab plan models | head -1` under pipefail."""
    with subprocess.Popen(
        [*CALL, *args], env={"TRIMTAB_HOME": str(tmp_path), "PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait() == 0, said
    assert b"Traceback" not in said


def test_an_interrupt_while_modules_are_imported_is_quiet(monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "run", interrupted)
    monkeypatch.setattr(sys, "argv", ["trimtab", "models"])
    assert cli.main() == 130


@pytest.mark.parametrize(
    ("args", "said", "where"),
    [
        (["bogus"], "No such command 'bogus'. Did you mean 'logs'?\n", "--help."),
        (["keys", "nothing"], "No such command 'nothing'.\n", "keys --help."),
        (["logs"], "Missing command.\n", "logs --help."),
        (["plan", "fit"], "Missing argument 'MODEL'.\n", "plan fit --help."),
        (["mock", "--fault", "nope"], "There is no fault 'nope'.", "mock --help."),
    ],
)
def test_wrong_usage_names_the_help_that_tells_more(args, said, where, capsys):
    assert app.run(args) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}") or said in error
    assert error.rstrip().endswith(where)
    assert error.count("Did you mean") <= 1
    assert "`$." not in error
