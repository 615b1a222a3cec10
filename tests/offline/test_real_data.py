"""Real customers' messages and real passages through the whole path, with the shipped weights and no network.

The messages are held out from the skill's training and calibration. The floors are well under what was measured
(benchmarks/starter.py, benchmarks/reader.py) so that they fail when something breaks, not when a figure moves.
"""

import json
from pathlib import Path

import msgspec
import pytest

from trimtab.errors import NoAnswerError
from trimtab.flow import run
from trimtab.server import openai
from trimtab.settings import load, parse
from trimtab.testing import ask
from trimtab.types import Answer, Pending, Wishes
from trimtab.wiring import open_system

DATA = Path(__file__).parents[1] / "data"


def rows(name):
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


def quiet(settings):
    return msgspec.structs.replace(settings, discover=msgspec.structs.replace(settings.discover, loopback=False))


def request(i, text):
    return ask(text, id=f"tr_{i}", wishes=Wishes(cache=False))


async def test_banking_messages_get_their_intent_or_a_person(tmp_path):
    right = wrong = held = 0
    async with open_system(quiet(load("starter", {"TRIMTAB_HOME": str(tmp_path)}))) as system:
        for i, row in enumerate(rows("banking77_sample.jsonl")):
            outcome, trace = await run(system.desk, request(i, row["text"]))
            if isinstance(outcome, Answer):
                right, wrong = right + (outcome.label == row["label"]), wrong + (outcome.label != row["label"])
                assert trace.cost == 0
                assert trace.baseline > 0
            else:
                assert isinstance(outcome, Pending)
                held += 1
    assert right / (right + wrong) >= 0.85
    assert right >= 60, f"{right} right, {wrong} wrong, {held} for a person"


async def test_passages_are_quoted_with_exact_offsets(tmp_path):
    docs, sample = tmp_path / "docs", rows("squad2_sample.jsonl")
    docs.mkdir()
    for i, row in enumerate(sample):
        (docs / f"{i:02}.md").write_text(f"# {row['title']}\n\n{row['text']}\n", "utf-8")
    table = {
        "retrieve": {"kind": "hybrid", "paths": ["docs"]},
        "model": [{"kind": "reader"}],
        "record": [{"kind": "ledger"}],
    }
    settings = parse(table, folder=tmp_path, home=tmp_path / "home", name="squad", secrets={})
    answered = right = 0
    passed = set()
    async with open_system(quiet(settings)) as system:
        for i, row in enumerate(sample):
            for j, question in enumerate(row["questions"]):
                try:
                    outcome, _ = await run(system.desk, request(f"{i}_{j}", question["q"]))
                except NoAnswerError as error:
                    passed.add(error.code)
                    continue
                answered += 1
                cited = outcome.citations[0]
                source = (docs / Path(cited.source).name).read_text("utf-8")
                assert source[cited.start : cited.end] == cited.quote
                right += any(answer.lower() in outcome.text.lower() for answer in question["answers"])
    assert passed <= {"not_in_documents"}
    assert answered >= 20
    assert right / answered >= 0.6, f"{right} of {answered}"


async def test_a_wait_says_which_rungs_were_asked_and_why_none_answered(tmp_path):
    async with open_system(quiet(load("starter", {"TRIMTAB_HOME": str(tmp_path)}))) as system:
        outcome, trace = await run(system.desk, request("sistine", "Who painted the ceiling of the Sistine Chapel?"))
    told = {each["by"]: each["code"] for each in openai.waiting(outcome, trace)["tried"]}
    assert told == {"code": "not_parsed", "skill": "out_of_scope", "reader": "not_in_documents"}


@pytest.mark.parametrize("text", ["", " ", "\ud800 odd", "?" * 3000, "a" * 50_000, "ไทย 中文"])
async def test_odd_messages_end_in_an_outcome(tmp_path, text):
    async with open_system(quiet(load("starter", {"TRIMTAB_HOME": str(tmp_path)}))) as system:
        _, trace = await run(system.desk, request("odd", text))
        assert trace.outcome in ("answer", "pending", "refused")
