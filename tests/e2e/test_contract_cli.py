"""A promise from the first outcome to the alarm and back: train, serve, audit, show, calibrate anew."""

import asyncio
import json

import pytest

from trimtab import flow, settings, testing
from trimtab.cli.app import run
from trimtab.wiring import open_system

RECIPE = """
name = "watched"

[discover]
environment = false
loopback = false

[[model]]
kind = "recorded"
name = "small"
path = "small.jsonl"
price = { input = "0.1", output = "0.4" }

[[model]]
kind = "recorded"
name = "large"
path = "large.jsonl"
price = { input = "2", output = "8" }

[[verify]]
kind = "confidence"
odds = "odds"
trust = ["large"]
models = { small = 0.0 }

[[contract]]
small = "small"
large = "large"
allowed = 0.02
share = 1.0

[[record]]
kind = "ledger"
store_text = "full"
"""


def sums(first, n):
    return [(f"What is {at} + 2?", f"{at} + 2 = {at + 2}") for at in range(first, first + n)]


def courts(first, n):
    return [
        (f"Which court heard case {at}?", "I think it might be unclear, perhaps 7.") for at in range(first, first + n)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The small model is right about sums and wrong about courts; the recipe lets all of its answers stand."""
    folder = tmp_path_factory.mktemp("contract")
    questions = [*sums(0, 200), *courts(0, 200)]
    rows = [{"question": asked, "right": {"small": float("+" in asked), "large": 1}, "answers": {"small": said}}
            for asked, said in questions]  # fmt: skip
    (folder / "outcomes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run(["route", "train", str(folder / "outcomes.jsonl"), "--out", str(folder / "odds"), "--share", "1"]) == 0
    (folder / "recipe.toml").write_text(RECIPE)
    asked = [*sums(1000, 70), *courts(1000, 70)]
    for name in ("small", "large"):
        lines = [
            {"question": one, "model": name, "answer": said if name == "small" or "+" in one else "The answer is 9."}
            for one, said in asked
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path))
    return tmp_path


async def served(folder, questions):
    """Who answered each, with the audit of one ended before the next is asked."""
    async with open_system(settings.load(folder)) as system:
        audits = system.desk.recorders[-1]
        by = []
        for at, (asked, _) in enumerate(questions):
            _, trace = await flow.run(system.desk, testing.ask(asked, id=f"tr_{at}"))
            by.append(trace.answered_by)
            await audits.idle()
        return by


def shown(capsys, *words, code=0):
    assert run([*words]) == code
    return capsys.readouterr()


def test_a_promise_is_watched_broken_and_calibrated_anew(folder, home, capsys):
    by = asyncio.run(served(folder, [*sums(1000, 70), *courts(1000, 70)]))
    assert set(by[:70]) == {"small"}
    assert by[-1] == "large", "after a few courts the monitor has heard enough"
    standing = json.loads(shown(capsys, "contract", "show", "-r", str(folder), "--json").out)
    assert standing["broken"] is True
    assert standing["audits"] == 140
    assert standing["watched"] == by.count("small")
    assert float(standing["cost_usd"]) > 0
    assert "BROKEN since" in shown(capsys, "contract", "show", "-r", str(folder)).out

    found = json.loads(shown(capsys, "calibrate", "--ledger", "-r", str(folder), "--keep", "0.9", "--json").out)
    assert found["status"] == "kept"
    assert found["rows"] == 140
    assert found["kept"] >= 0.9
    assert 0.4 < found["large"] < 0.75, "sums stay, most courts do not: the threshold of the recipe let all stay"
    assert found["cost"] > 0
    told = shown(capsys, "calibrate", "--ledger", "-r", str(folder), "--keep", "0.9").out
    assert '[[contract]] small = "small", large = "large", allowed = ' in told

    from trimtab.odds.outcomes import read

    path = home / "outcomes.jsonl"
    assert (
        "140 outcomes, 140 of them from shadow audits"
        in shown(capsys, "route", "outcomes", str(path), "--audited", "-r", str(folder)).out
    )
    rows = read(path)
    assert {tuple(sorted(row.answers)) for row in rows} == {("large", "small")}, "both texts, whoever had answered"
    assert sum(row.right["small"] for row in rows) == 70
    assert all(row.answers["small"] == dict([*sums(1000, 70), *courts(1000, 70)])[row.question] for row in rows)
    names = ["always:large", "always:small", "threshold:1", f"threshold:{found['threshold']}", str(folder)]
    words = [word for name in names for word in ("--policy", name)]
    out = shown(capsys, "replay", "--ledger", "-r", str(folder), *words, "--json").out
    large, small, climbs, tuned, today = map(json.loads, out.splitlines())
    assert large["kept"]["value"] == 1
    assert small["kept"]["value"] == today["kept"]["value"] == 0.5
    assert tuned["kept"]["value"] == pytest.approx(found["kept"])
    assert tuned["cost"]["value"] == pytest.approx(found["cost"], rel=1e-3), "calibration and replay reckon alike"
    assert climbs["cost"]["value"] == pytest.approx(small["cost"]["value"] + large["cost"]["value"]), "failed tries"
    for policy, said in (
        ("threshold:2", "no threshold"),
        ("always:nobody", "nobody"),
        ("starter", "no model large, small"),
    ):
        assert said in shown(capsys, "replay", "--ledger", "-r", str(folder), "--policy", policy, code=2).err


def test_nothing_recorded_and_no_contract_are_said(folder, home, capsys):
    assert "Nothing was recorded yet" in shown(capsys, "contract", "show", "-r", str(folder), code=2).err
    assert (
        "has no contract 'other'"
        in shown(capsys, "calibrate", "--ledger", "--contract", "other", "-r", str(folder), code=2).err
    )
    assert "must be given, or --ledger" in shown(capsys, "calibrate", code=2).err
    assert "must be given, or --ledger" in shown(capsys, "replay", "--policy", "always:x", code=2).err
    assert "Nothing was recorded" in shown(capsys, "route", "outcomes", "-r", str(folder), code=2).err
    assert "has no [[contract]]" in shown(capsys, "contract", "show").err


@pytest.mark.parametrize(("change", "said"), [
    (('small = "small"\nlarge', 'small = "smal"\nlarge'), "'smal'"),
    (('small = "small"\nlarge = "large"', 'small = "large"\nlarge = "large"'), "one model"),
    (("share = 1.0", "share = 2.0"), "share"), (("allowed = 0.02", "allowed = 1.5"), "allowed"),
])  # fmt: skip
def test_a_contract_that_means_nothing_is_refused(folder, home, capsys, tmp_path, change, said):
    assert change[0] in RECIPE
    path = folder / "changed.toml"
    path.write_text(RECIPE.replace(*change))
    assert said in shown(capsys, "ask", "-r", str(path), "What is 1000 + 2?", code=2).err
