"""`trimtab keys` as a user meets it: a real process, a real database, a gateway that minds what it did."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from trimtab.server import serving
from trimtab.settings import load
from trimtab.store.engine import Store

TRIMTAB = Path(sys.executable).with_name("trimtab")
RECIPE = '[server]\nport = 0\n[discover]\nloopback = false\nenvironment = false\n[[model]]\nkind = "code"\n'


@pytest.fixture
def shell(tmp_path):
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    (recipe / "recipe.toml").write_text(RECIPE)
    env = {**os.environ, "TRIMTAB_HOME": str(tmp_path / "home")}

    def run(*args, code=0):
        done = subprocess.run(
            [TRIMTAB, "keys", *args, "--recipe", str(recipe)], env=env, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    run.settings = load(recipe, env)
    run.json = lambda *args: json.loads(run(*args, "--json").stdout)
    return run


def ask(url, token="", body=None):
    headers = {"authorization": f"Bearer {token}"} if token else {}
    asked = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(asked) as said:  # noqa: S310
        return said.status


def status(url, token=""):
    try:
        return ask(f"{url}/v1/models", token)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_key_from_the_cradle_to_the_grave(shell):
    done = shell(
        "create",
        "ci",
        "--team",
        "blue",
        "--expires",
        "90d",
        "--limit",
        "usd=5/day",
        "-l",
        "concurrency=4",
        "-m",
        "code",
    )
    token = done.stdout.strip()
    name = token.removeprefix("tt_").partition(".")[0]
    assert token not in done.stderr
    assert "not shown again" in done.stderr
    with serving.background(shell.settings) as url:
        assert (status(url), status(url, token)) == (401, 200)
        shown = shell.json("show", "ci")
        assert shown["schema_version"] == 1
        assert shown["key"]["limits"] == [{"per": "day", "usd": "5"}, {"concurrency": 4}]
        assert shown["key"]["state"] == "active"
        new = shell.json("rotate", name, "--overlap", "0s")["token"]
        assert shell.json("revoke", name)["key"]["state"] == "revoked"
        for _ in range(100):  # a running gateway minds a change within a second
            if status(url, token) == 401:
                break
            time.sleep(0.1)
        assert (status(url, token), status(url, new)) == (401, 401)
    assert shell.json("list")["state"] == "revoked"
    for said in (shell("list").stdout, shell("show", name).stdout, done.stderr):
        assert token.partition(".")[2] not in said
    with sqlite3.connect(shell.settings.home / "trimtab.db") as connection:
        assert connection.execute("SELECT count(*) FROM keys").fetchone() == (1,)


@pytest.mark.parametrize(
    "args",
    [
        ("create", "x", "--limit", "usd=five/day"), ("create", "x", "--limit", "requests=1/year"),
        ("create", "x", "--limit", "per=1"), ("create", "x", "--limit", "usd=-1/day"),
        ("create", "x", "--role", "root"),
        ("create", "x", "--expires", "soon"), ("create", " "), ("show", "nobody"), ("rotate", "x", "--overlap", "1w"),
    ],
)  # fmt: skip
def test_wrong_usage_is_a_clear_error(shell, args):
    done = shell(*args, code=2)
    assert done.stderr.startswith("error: ")
    assert done.stdout == ""


def test_the_windows_of_a_gateway_that_was_stopped_are_exact(shell):
    token = shell.json("create", "ci", "--limit", "requests=100/month")["token"]
    for _ in range(2):
        with serving.background(shell.settings) as url:
            body = json.dumps({"messages": [{"role": "user", "content": "What is 15% of 240?"}]}).encode()
            assert ask(f"{url}/v1/chat/completions", token, body) == 200
    assert [(row["what"], row["taken"]) for row in shell.json("show", "ci")["taken"]] == [("requests", 2)]


def test_a_store_that_is_open_is_closed_again(shell):
    shell("create", "ci")
    asyncio.run(Store.open(shell.settings.home / "trimtab.db").close())
    assert not list(shell.settings.home.glob("*-wal"))
