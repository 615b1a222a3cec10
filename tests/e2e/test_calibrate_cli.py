"""Outcomes to odds to a promise, by the command line: what is learnt is used, what cannot be shown is said."""

import json

import pytest

from trimtab.cli.app import run


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """The small model is right about sums and wrong about courts."""
    path = tmp_path_factory.mktemp("calibrate") / "outcomes.jsonl"
    rows = []
    for at in range(400):
        asked, said = (
            (f"What is {at} + 2?", f"{at} + 2 = {at + 2}") if at % 2 else (f"Which court heard case {at}?", "?")
        )
        rows.append({"question": asked, "right": {"small": at % 2, "large": 1}, "answers": {"small": said},
                     "cost": {"small": 0.0001, "large": 0.004}})  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)))
    assert run(["route", "train", str(path), "--out", str(path.parent / "odds"), "--share", "0.4"]) == 0
    return path


def calibrated(outcomes, capsys, *more, exit_code=0):
    odds = outcomes.parent / "odds"
    given = ["calibrate", str(outcomes), "--odds", str(odds), "--small", "small", "--large", "large", *more]
    assert run(given) == exit_code
    return capsys.readouterr()


def test_the_odds_tell_what_the_small_model_can_do(outcomes, capsys):
    found = json.loads(calibrated(outcomes, capsys, "--keep", "0.9", "--json").out)
    assert found["status"] == "kept"
    assert found["kept"] >= 0.9
    assert 0.3 < found["large"] < 0.75, "about half of the questions are the small model's"
    assert 200 < found["rows"] < 280, "those that were not trained on"
    assert found["p_value"] <= 0.1
    assert "at or above it stays" in calibrated(outcomes, capsys, "--keep", "0.9").out


def test_what_cannot_be_shown_is_said(outcomes, capsys):
    assert "insufficient data" in calibrated(outcomes, capsys, "--keep", "1").out
    found = json.loads(calibrated(outcomes, capsys, "--keep", "1", "--json").out)
    assert (found["status"], found["threshold"], found["large"]) == ("insufficient_data", None, 1.0)
    assert (
        json.loads(calibrated(outcomes, capsys, "--keep", "0.9", "--max-cost", "0.00001", "--json").out)["status"]
        == "too_dear"
    )


@pytest.mark.parametrize(("more", "said"), [
    (("--method", "guess"), "betting"), (("--keep", "2"), "keep = 2"), (("--small", "nobody"), "nobody"),
])  # fmt: skip
def test_a_bad_argument_is_named(outcomes, capsys, more, said):
    assert said in calibrated(outcomes, capsys, *more, exit_code=2).err


def test_the_threshold_that_is_printed_lets_no_answer_stay_that_was_not_shown(outcomes, capsys):
    exact = json.loads(calibrated(outcomes, capsys, "--keep", "0.9", "--json").out)["threshold"]
    lines = calibrated(outcomes, capsys, "--keep", "0.9").out.splitlines()
    printed = next(float(line.split()[1]) for line in lines if line.startswith("threshold"))
    assert exact <= printed < exact + 2e-6


def test_a_preview_tells_the_odds_that_the_ladder_is_from(outcomes, capsys):
    model = 'kind = "openai_http"\nurl = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
    recipe = outcomes.parent / "recipe.toml"
    recipe.write_text(
        '[route]\nkind = "learned"\nodds = "odds"\n[discover]\nenvironment = false\nloopback = false\n'
        f'[[model]]\nname = "small"\n{model}[[model]]\nname = "large"\n{model}'
    )
    assert run(["route", "preview", "Which court heard case 7?", "-r", str(recipe), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    (stays,) = [signal["value"] for signal in shown["signals"] if signal["name"] == "p_stays:small"]
    assert stays < 0.3
    assert shown["left_out"] == {"small": "unlikely_right"}
