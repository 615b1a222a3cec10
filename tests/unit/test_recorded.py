"""Recorded answers: found by their question, labelled as what they are, and a pass for all else."""

import gzip
import json
from pathlib import Path

import pytest

from trimtab import testing
from trimtab.answer import recorded
from trimtab.errors import ConfigError
from trimtab.testing import Hears, ask
from trimtab.types import Answer, Evidence, Verdict

RECORD = Path(__file__).parents[1] / "data" / "recorded_gsm8k.jsonl"
LINES = [json.loads(line) for line in RECORD.read_text("utf-8").splitlines()]


def build(tmp_path, path=RECORD, **options):
    tools = testing.tools(tmp_path, name="large", recipe=tmp_path)
    return recorded.build(recorded.Options(path=str(path), **options), tools)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "llama-3.1-8b-instruct"])
async def test_every_recorded_question_gets_its_models_own_words(tmp_path, model):
    replay = build(tmp_path, model=model)
    mine = [line for line in LINES if line["model"] == model]
    assert len(mine) == 40
    for line in mine:
        answer = await replay.answer(ask(f"  {line['question'].upper()}\n"), Evidence(), Hears(live=False))
        assert isinstance(answer, Answer)
        assert answer.text == line["answer"]
        assert answer.label == f"recorded: {model}"
        assert answer.body["recorded"] is True
        assert answer.usage.estimated


async def test_a_stream_says_the_same(tmp_path):
    sink = Hears()
    answer = await build(tmp_path).answer(ask(LINES[0]["question"]), Evidence(), sink)
    assert sink.text == answer.text
    assert sink.usage == answer.usage


async def test_what_is_not_on_record_is_passed(tmp_path):
    replay = build(tmp_path)
    question = LINES[0]["question"]
    for request in (ask("Something else?"), ask("Before that.", question), ask(messages=())):
        verdict = await replay.answer(request, Evidence(), Hears())
        assert isinstance(verdict, Verdict)
        assert (verdict.ok, verdict.code) == (False, "not_recorded")


async def test_a_recorded_usage_is_kept_and_gzip_is_read(tmp_path):
    line = {"question": "q", "answer": "a", "model": "m", "usage": {"prompt": 3, "completion": 4}}
    with gzip.open(tmp_path / "r.jsonl.gz", "wt") as file:
        file.write(json.dumps(line) + "\n\n")
    answer = await build(tmp_path, "r.jsonl.gz").answer(ask("Q"), Evidence(), Hears())
    assert (answer.usage.prompt, answer.usage.completion, answer.usage.estimated) == (3, 4, False)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.jsonl", None, "cannot be read"),
        ("bad.jsonl", b'{"question": "q", "answer": "a", "model": "m"}\nnot json\n', "line 2"),
        ("short.jsonl", b'{"question": "q"}\n', "line 1.*answer"),
        ("empty.jsonl", b"\n", "no recorded answers"),
        ("cut.jsonl.gz", gzip.compress(b"x" * 1000)[:20], "cannot be read"),
        ("plain.jsonl.gz", b"{}", "cannot be read"),
    ],
)
def test_a_record_that_cannot_be_used_says_why(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        build(tmp_path, name)


def test_a_model_that_is_not_on_record(tmp_path):
    with pytest.raises(ConfigError, match="no recorded answers of gpt-9"):
        build(tmp_path, model="gpt-9")


def test_it_is_known_as_recorded():
    spec = recorded.spec(recorded.Options(path="x"))
    assert spec.recorded
    assert spec.price is None
