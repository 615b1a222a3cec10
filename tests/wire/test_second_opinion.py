"""A second cheap opinion on the path, from peers over HTTP: when it is asked, what it changes, what it costs."""

import asyncio
import json

import msgspec
import numpy as np
import pytest

from trimtab import flow, settings, testing
from trimtab.cli.app import run
from trimtab.encode.encoder import Encoder
from trimtab.errors import ConfigError
from trimtab.evaluate import _walk, mock
from trimtab.odds import calibration, fitted
from trimtab.odds.outcomes import read
from trimtab.types import Limits
from trimtab.wiring import open_system

PRICES = {"small": 0.2, "second": 0.1, "large": 4.0}


def said(value):
    return f"It holds {value} of them. The answer is {value}."


def outcomes(count=300):
    """The small model's answers look alike, right or wrong; a second one agrees where they are right, nearly always."""
    dice, rows = np.random.default_rng(3), []
    for at in range(count):
        true, right = 3 * at + 7, dice.random() < 0.6
        small = true if right else true + 1
        second = small if dice.random() < (0.95 if right else 0.05) else true + 2
        rows.append({
            "question": f"How many coins does box number {at} hold?",
            "right": {"small": float(right), "large": float(dice.random() < 0.98)},
            "answers": {"small": said(small), "second": said(second), "small#2": said(second)},
            "cost": {name: price / 1000 for name, price in PRICES.items()},
        })  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("opinions")
    (folder / "outcomes.jsonl").write_text("\n".join(map(json.dumps, outcomes())))
    train = ["route", "train", str(folder / "outcomes.jsonl"), "--share", "0.6", "--opinion"]
    assert run([*train, "second", "--opinion", "small#2", "--out", str(folder / "odds")]) == 0
    assert run([*train, "small#2", "--out", str(folder / "again")]) == 0
    return folder


def model(name, url, script, price=None):
    return {
        "kind": "openai_http", "name": name, "url": url, "model": name, "retries": 0,
        "headers": {"x-mock": json.dumps(script)},
        "price": {"input": str(PRICES[name] if price is None else price), "output": str(price or PRICES[name])},
    }  # fmt: skip


def recipe(folder, url, replies, prices=None, away="", aside=("second",), **options):
    """Settings with a peer for each reply."""
    judge = {"kind": "confidence", "odds": "odds", "models": {"small": 0.8}, "opinions": ["second"], **options}
    models = [model(name, url, script, (prices or {}).get(name)) for name, script in replies.items()]
    table = {
        "model": [one | ({"where": "remote", "mask": False} if one["name"] == away else {}) for one in models],
        "route": {"kind": "rules", "aside": [name for name in replies if name in aside]},
        "verify": [{name: value for name, value in judge.items() if value is not None}],
        "discover": {"environment": False, "loopback": False},
    }  # fmt: skip
    return settings.parse(table, folder=folder, home=folder / "home", name="opinions", secrets={})


async def asked(folder, replies, limits=None, **changes):
    """The trace of one request to peers that reply so."""
    async with mock.serving() as url, open_system(recipe(folder, url, replies, **changes)) as system:
        request = testing.ask("How many coins does box number 900 hold?", limits=limits or Limits())
        _, trace = await flow.run(system.desk, request)
        return trace


async def scored(folder, url, replies, question):
    """The score that the verifier gives the small answer to a question."""
    async with open_system(recipe(folder, url, replies)) as system:
        _, trace = await flow.run(system.desk, testing.ask(question))
        return next(step.score for step in trace.steps if step.stage == "verify")


def calls(trace):
    return [(step.by, step.code) for step in trace.steps if step.stage == "answer"]


RIGHT, OTHER = {"reply": said(12)}, {"reply": said(14)}


@pytest.mark.parametrize(("second", "answered", "by"), [
    (RIGHT, "small", [("small", ""), ("second", "asked")]),
    (OTHER, "large", [("small", ""), ("second", "asked"), ("large", "")]),
    ({"reply": "I do not know."}, "large", [("small", ""), ("second", "asked"), ("large", "")]),
    ({"fault": "error"}, "large", [("small", ""), ("second", "asked"), ("large", "")]),
])  # fmt: skip
async def test_a_second_opinion_lets_an_answer_stay_or_climb_and_is_paid(folder, second, answered, by):
    trace = await asked(folder, {"small": RIGHT, "second": second, "large": RIGHT})
    assert (trace.answered_by, calls(trace)) == (answered, by)
    costs = [step.cost for step in trace.steps if step.stage == "answer"]
    assert all(costs) or "fault" in second
    assert trace.cost == sum(costs)
    verdict = next(step for step in trace.steps if step.stage == "verify")
    assert ("gave no opinion" in verdict.why) == ("fault" in second)
    if second is RIGHT:
        assert verdict.score > 0.8
        assert "second agreed" in verdict.why


async def test_without_opinions_the_same_answer_climbs(folder):
    trace = await asked(folder, {"small": RIGHT, "second": RIGHT, "large": RIGHT}, opinions=[])
    assert calls(trace) == [("small", ""), ("large", "")]


async def test_a_rung_in_between_may_be_the_opinion_on_the_one_below_it(folder):
    """What climbing costs and gains is then reckoned by the rung above both."""
    replies = {"small": RIGHT, "second": RIGHT, "large": RIGHT}
    trace = await asked(folder, replies, prices={"second": 0.3}, aside=())
    assert (trace.decision.ladder, trace.answered_by) == (("small", "second", "large"), "small")
    assert calls(trace) == [("small", ""), ("second", "asked")]


async def test_another_sample_of_the_same_model_is_an_opinion_too(folder):
    trace = await asked(folder, {"small": RIGHT, "large": RIGHT}, opinions=["small#2"], odds="again")
    assert (trace.answered_by, calls(trace)) == ("small", [("small", ""), ("small", "asked")])


@pytest.mark.parametrize(("change", "why"), [
    ({"prices": {"second": 4.0}}, "it is as dear as the large model"),
    ({"models": {"small": 0.02}}, "the answer stays, whatever it says"),
    ({"around": 0.999}, "it does not lift the score so high"),
])  # fmt: skip
async def test_no_opinion_is_asked_where_it_would_change_nothing_for_its_price(folder, change, why):
    trace = await asked(folder, {"small": RIGHT, "second": RIGHT, "large": RIGHT}, **change)
    assert "second" not in [by for by, _ in calls(trace)], why


async def test_no_text_goes_to_an_opinion_that_may_not_have_it(folder):
    trace = await asked(folder, {"small": RIGHT, "second": RIGHT, "large": RIGHT}, Limits(where="local"), away="second")
    assert calls(trace) == [("small", ""), ("large", "")]
    assert "(not_asked)" in next(step.why for step in trace.steps if step.stage == "verify")


async def test_the_second_opinion_is_decided_upon_after_the_first(folder):
    """Two opinions in a row: what the first says decides whether the next one is worth its price."""
    both = {"opinions": ["second", "small#2"]}
    sure = await asked(folder, {"small": RIGHT, "second": RIGHT, "large": RIGHT}, **both)
    assert calls(sure) == [("small", ""), ("second", "asked")], "one was enough"
    dear = await asked(
        folder, {"small": RIGHT, "second": RIGHT, "large": RIGHT}, **both, around=0.97, models={"small": 0.97}
    )
    assert len(calls(dear)) >= 2


@pytest.mark.parametrize("second", [RIGHT, OTHER], ids=["agrees", "differs"])
async def test_more_money_changes_no_step(folder, second):
    """From just enough to a million times that: the same models are asked, and not the strongest ones."""
    replies = {"small": RIGHT, "second": second, "large": RIGHT}
    plain = await asked(folder, replies)
    for budget in (10**8, 10**11, 10**14):
        trace = await asked(folder, replies, Limits(cost=budget))
        assert (calls(trace), trace.cost) == (calls(plain), plain.cost)


async def test_replay_asks_the_recorded_opinions_where_the_path_would(folder):
    rows = calibration.unseen(read(folder / "outcomes.jsonl"), folder / "odds")[:20]
    bare, lost = _walk.bare(recipe(folder, "http://127.0.0.1:9/v1", dict.fromkeys(PRICES, RIGHT)))
    assert not lost
    without = tuple(msgspec.structs.replace(row, answers={"small": row.answers["small"], "large": "x"}) for row in rows)
    async with open_system(bare) as system:
        walks, blind = await _walk.walk(system.desk, rows), await _walk.walk(system.desk, without)
    assert {walk.called for walk in walks} <= {("small", "second"), ("small", "second", "large")}
    assert {walk.answered for walk in walks} == {"small", "large"}
    assert not [walk for walk in walks if "second" in walk.blind]
    assert all("second" in walk.blind for walk in blind), "an opinion whose text is not there cannot be replayed"


def test_what_calibration_scores_is_what_the_path_scores(folder, capsys):
    """One implementation: the threshold that is printed is of the scores that the path gives."""
    path = folder / "outcomes.jsonl"
    rows = calibration.unseen(read(path), folder / "odds")[:12]
    odds, encoder = fitted.Odds.load(folder / "odds"), Encoder.load()
    table = calibration.columns(rows, odds, encoder, "small", "large", ("second",), 0.8)
    encoder.close()

    async def walked():
        async with mock.serving() as url:
            found = []
            for row in rows:
                replies = {name: {"reply": row.answers.get(name, "Nothing.")} for name in PRICES}
                found.append(await scored(folder, url, replies, row.question))
            return found

    assert asyncio.run(walked()) == pytest.approx(list(table["score"]), abs=1e-5)
    words = ["calibrate", str(path), "--odds", str(folder / "odds"), "--small", "small", "--large", "large"]
    assert run([*words, "--keep", "0.9", "--opinion", "second", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert run([*words, "--keep", "0.9", "--json"]) == 0
    without = json.loads(capsys.readouterr().out)
    assert found["status"] == "kept"
    assert found["large"] < without["large"] - 0.1, "an opinion saves large calls at the same promise"
    assert 0 < found["around"] < 1


def test_opinions_that_no_odds_weigh_are_refused(folder):
    with pytest.raises(ConfigError, match="do not weigh the opinions stranger"):
        asyncio.run(asked(folder, {"small": RIGHT, "large": RIGHT}, opinions=["stranger"]))
    with pytest.raises(ConfigError, match="without odds"):
        asyncio.run(asked(folder, {"small": RIGHT, "large": RIGHT}, odds=None))
    assert run(["route", "train", str(folder / "outcomes.jsonl"), "--out", "x", "--opinion", "stranger"]) == 2
