"""`trimtab docs` as a user meets it: a real process, files on a disk, a gateway that finds what was added."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CALL = "import sys; sys.argv[0] = 'trimtab'; from trimtab.cli import main; sys.exit(main())"
RECIPE = """[discover]
loopback = false
environment = false
[retrieve]
kind = "hybrid"
paths = ["own"]
[[model]]
kind = "reader"
"""


@pytest.fixture
def shell(tmp_path):
    """Runs `trimtab docs ...` in `tmp_path`, where a recipe with one page and a folder `d` are."""
    (tmp_path / "recipe" / "own").mkdir(parents=True)
    (tmp_path / "recipe" / "recipe.toml").write_text(RECIPE)
    (tmp_path / "recipe" / "own" / "hours.md").write_text("# Hours\n\nThe office is open from nine to five.\n")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "fees.md").write_text("# Fees\n\nA berth costs twelve euros a night.\n")
    env = {**os.environ, "TRIMTAB_HOME": str(tmp_path / "home")}

    def run(*args, code=0, verb="docs"):
        done = subprocess.run(
            [sys.executable, "-c", CALL, verb, *args, "--recipe", str(tmp_path / "recipe")], env=env, timeout=100,
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    run.json = lambda *args, **more: [json.loads(line) for line in run(*args, "--json", **more).stdout.splitlines()]
    return run


def test_documents_from_the_cradle_to_the_grave(shell, tmp_path):
    (added,) = shell.json("add", "d")
    fees = str(tmp_path / "d" / "fees.md")
    assert added["ok"]
    assert added["added"] == [fees]
    assert shell("add", "d").stdout == "1 unchanged\n"
    listed = {row["source"]: row for row in shell.json("list")}
    assert set(listed) == {fees, "own/hours.md"}
    assert (listed[fees]["origin"], listed["own/hours.md"]["origin"]) == ("added", "recipe")
    (found,) = shell.json("search", "What does a berth cost?")
    first = found["passages"][0]
    assert (first["source"], Path(fees).read_text()[first["start"] : first["end"]]) == (fees, first["text"])
    assert "twelve euros" in shell("What does a berth cost?", verb="ask").stdout
    Path(fees).unlink()
    (again,) = shell.json("add")
    assert again["removed"] == [fees]
    assert shell("search", "zebra crossing", "--as", "local").stdout.count("own/hours.md") == 1


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(shell, tmp_path):
    (tmp_path / "d" / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "d" / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    (tmp_path / "d" / "photo.jpg").write_bytes(b"\xff")
    done = shell("add", "d", code=1)
    assert done.stdout == "1 added, 2 not read, 1 skipped\n"
    assert "latin.txt: it is not UTF-8 text (byte 3); save it as UTF-8." in done.stderr
    assert "broken.pdf: it " in done.stderr
    (report,) = shell.json("add", "d", code=1)
    assert (report["ok"], len(report["failed"]), len(report["skipped"])) == (False, 2, 1)


def test_an_empty_folder_and_wrong_names_are_told(shell, tmp_path):
    (tmp_path / "empty").mkdir()
    assert shell("add", "empty").stdout == "nothing there\n"
    assert "no documents at" in shell("add", "nowhere", code=2).stderr
    assert "The question is empty" in shell("search", " ", code=2).stderr
    assert "no document 'x'" in shell("remove", "x", code=2).stderr
    assert "recipe's paths" in shell("remove", "own/hours.md", code=2).stderr
    assert "no such key" in shell("add", "d", "--reader", "nobody", code=2).stderr
    assert "no such key" in shell.json("search", "x", "--as", "nobody", code=2)[0]["error"]["message"]


def test_a_document_is_for_its_readers(shell, tmp_path):
    key = json.loads(shell("create", "app", "--json", verb="keys").stdout)["key"]["id"]
    shell("add", "d", "--reader", "app")
    fees = str(tmp_path / "d" / "fees.md")
    assert next(row for row in shell.json("list") if row["source"] == fees)["readers"] == [key]

    def finds(*who):
        return fees in [one["source"] for one in shell.json("search", "berth fees", *who)[0]["passages"]]

    assert [finds("--as", "app"), finds("--as", "local"), finds()] == [True, False, True]
    shell("add", "d", "--reader", "everybody")
    assert finds("--as", "local")


def test_a_root_that_is_gone_keeps_what_was_read_until_it_is_removed(shell, tmp_path):
    shell("add", "d")
    (tmp_path / "d").rename(tmp_path / "elsewhere")
    done = shell("add", code=1)
    assert "What was read of it stays" in done.stderr
    assert len(shell.json("list")) == 2
    assert shell("remove", "d").stdout.startswith("removed ")
    assert len(shell.json("list")) == 1


def test_a_broken_index_is_a_clear_error(shell, tmp_path):
    shell("add", "d")
    for file in (tmp_path / "home").rglob("docs.db*"):
        file.unlink()
    (next((tmp_path / "home").iterdir()) / "docs.db").write_bytes(b"no database, but long enough to be one" * 200)
    assert "cannot be used" in shell("list", code=1).stderr


def test_a_recipe_without_documents_says_so(shell, tmp_path):
    (tmp_path / "recipe" / "recipe.toml").write_text('[[model]]\nkind = "code"\n')
    assert "looks nothing up in documents" in shell("add", "d", code=2).stderr
