"""`trimtab replay` by the command line: recipes and fixed policies on the same rows, side by side."""

import json

import pytest

from trimtab.cli.app import run

RECIPE = """
[[model]]
kind = "openai_http"
name = "small"
url = "http://127.0.0.1:9/v1"
model = "s"
price = {{ input = "0.1", output = "0.4" }}

[[model]]
kind = "openai_http"
name = "large"
url = "http://127.0.0.1:9/v1"
model = "l"
price = {{ input = "2", output = "8" }}

[route]
kind = "rules"

[[verify]]
kind = "confidence"
odds = {odds}
trust = ["large"]
models = {{ small = {least} }}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The small model is right about sums and wrong about courts."""
    folder = tmp_path_factory.mktemp("replay")
    rows = []
    for at in range(400):
        asked, said = (
            (f"What is {at} + 2?", f"{at} + 2 = {at + 2}") if at % 2 else (f"Which court heard case {at}?", "?")
        )
        rows.append({"question": asked, "right": {"small": at % 2, "large": 1},
                     "answers": {"small": said, "large": "Yes."},
                     "tokens": {"small": [20, 10], "large": [20, 10]}})  # fmt: skip
    (folder / "outcomes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run(["route", "train", str(folder / "outcomes.jsonl"), "--out", str(folder / "odds"), "--share", "0.5"]) == 0
    for name, least in (("lax", 0.0), ("strict", 0.5)):
        (folder / f"{name}.toml").write_text(RECIPE.format(least=least, odds=json.dumps(str(folder / "odds"))))
    return folder


def replayed(folder, capsys, *more, exit_code=0):
    assert run(["replay", str(folder / "outcomes.jsonl"), "--large", "large", *more]) == exit_code
    return capsys.readouterr()


def test_policies_stand_side_by_side(folder, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path))
    names = [str(folder / "lax.toml"), str(folder / "strict.toml"), "always:large"]
    told = replayed(folder, capsys, *(word for name in names for word in ("--policy", name)), "--json")
    lax, strict, always = map(json.loads, told.out.splitlines())
    assert (lax["kept"]["value"], lax["share"]) == (pytest.approx(0.5, abs=0.1), 0.0)
    left_out = 400 - lax["rows"]
    assert 150 < left_out < 250, "what the odds were trained on"
    assert always["rows"] == lax["rows"]
    assert f"{left_out} of 400 rows are left out" in told.err
    assert strict["kept"]["value"] > 0.95
    assert 0.4 < strict["share"] < 0.6
    assert lax["cost"]["value"] == pytest.approx(6e-6)
    assert lax["cost"]["value"] < strict["cost"]["value"] < 120e-6 + 6e-6
    assert (always["kept"]["value"], always["cost"]) == (1.0, None), "no price of its own, and no recorded cost"
    assert not (tmp_path / "trimtab.db").exists()
    assert not list(tmp_path.rglob("*.db")), "nothing is recorded"


def test_a_person_reads_it_too(folder, capsys):
    shown = replayed(folder, capsys, "--policy", "always:small").out
    assert "kept      0.500 (0.4" in shown
    assert "cost      unknown" in shown


@pytest.mark.parametrize(("more", "said"), [
    (("--policy", "always:nobody"), "nobody"), (("--policy", "nowhere"), "nowhere"),
    (("--policy", "always:small", "--confidence", "2"), "--confidence 2"),
])  # fmt: skip
def test_a_bad_argument_is_named(folder, capsys, more, said):
    assert said in replayed(folder, capsys, *more, exit_code=2).err
