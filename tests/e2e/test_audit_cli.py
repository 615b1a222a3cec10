"""`trimtab audit` as an operator meets it: a real gateway and real commands enter what they do; exit codes tell."""

import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

TRIMTAB = [sys.executable, "-c", "import sys; from trimtab.cli import main; sys.exit(main())"]
RECIPE = (
    '[server]\nport = 0\n[discover]\nloopback = false\nenvironment = false\n[[model]]\nkind = "code"\n'
    '[[limit]]\nrequests = 1000\n[audit]\nhead = "{}"\n'
)


@pytest.fixture
def shell(tmp_path):
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "recipe.toml").write_text(RECIPE.format(tmp_path / "kept.head"))
    env = {**os.environ, "TRIMTAB_HOME": str(tmp_path / "home"), "OPENAI_API_KEY": "sk-canary-of-the-audit"}

    def run(*args, code=0):
        done = subprocess.run(
            [*TRIMTAB, *args, "--recipe", str(tmp_path / "recipe")], env=env, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    run.env, run.recipe = env, tmp_path / "recipe"
    run.json = lambda *args, code=0: [json.loads(line) for line in run(*args, "--json", code=code).stdout.splitlines()]
    return run


def served(shell):
    """A gateway that starts, reads its recipe anew and is told to stop; what it wrote on stderr."""
    command = [*TRIMTAB, "serve", "--recipe", str(shell.recipe), "--json"]
    with subprocess.Popen(command, env=shell.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert json.loads(running.stdout.readline())["url"]
        shell("reload")
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
        return running.stderr.read()


def test_what_was_done_is_listed_verified_and_told_when_it_was_changed(shell, tmp_path):
    said = served(shell)
    key = shell.json("keys", "create", "ci")[0]
    shell("keys", "revoke", "ci")
    rows = shell.json("audit", "list")
    assert [row["action"] for row in rows] == [
        "gateway.started", "config.loaded", "limits.changed", "config.reloaded", "gateway.stopped", "key.created",
        "key.revoked",
    ]  # fmt: skip
    assert rows[1]["payload"] == rows[3]["payload"]
    assert rows[4]["hash"] in said, "the log says the head"
    [report] = shell.json("audit", "verify", "--head", rows[4]["hash"])
    assert report["audit"]["ok"]
    assert report["audit"]["head"] == {"seq": 7, "hash": rows[6]["hash"]}
    heads = {path.read_text().split()[0] for path in (tmp_path / "kept.head", tmp_path / "home/recipe/audit.head")}
    assert heads == {"8"}, "that it was verified is entered too"
    kept = "".join(path.read_text("latin-1") for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert "sk-canary" not in kept
    assert key["token"].partition(".")[2] not in kept

    with sqlite3.connect(tmp_path / "home/recipe/trimtab.db") as connection:
        connection.execute("DROP TRIGGER audit_update")
        connection.execute("UPDATE audit SET actor = 'eve' WHERE seq = 5")
    done = shell("audit", "verify", code=1)
    assert "Row 5 does not follow from row 4" in done.stderr
    [report] = shell.json("audit", "verify", code=1)
    assert (report["audit"]["ok"], report["audit"]["row"]) == (False, 5)


def test_a_backup_that_was_put_back_is_told_and_can_be_accepted(shell, tmp_path):
    shell("keys", "create", "ci")
    database = tmp_path / "home/recipe/trimtab.db"
    with sqlite3.connect(database) as connection, sqlite3.connect(tmp_path / "backup.db") as backup:
        connection.backup(backup)
    shell("keys", "create", "cd")
    for part in database.parent.glob("trimtab.db*"):
        part.unlink()
    (tmp_path / "backup.db").rename(database)
    assert "tells of row 2, and the chain ends at 1" in shell("audit", "verify", code=1).stderr
    shell("audit", "accept")
    assert "ok: " in shell("audit", "verify").stdout


def test_a_gateway_that_cannot_enter_its_start_does_not_start(shell, tmp_path):
    (tmp_path / "recipe" / "recipe.toml").write_text(RECIPE.format(tmp_path / "missing" / "kept.head"))
    done = shell("serve", code=1)
    assert "kept.head cannot be written" in done.stderr
