"""The verifier that runs code: which code and which tests it takes from a talk, and what it says of how they end."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab import flow
from trimtab.errors import ConfigError
from trimtab.testing import Says, ask, desk, seat, tools
from trimtab.types import Answer, Evidence, ModelSpec, Verdict
from trimtab.verify import execution

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can confine a program")
RIGHT = "Here it is:\n\n```python\ndef double(x):\n    return 2 * x\n```\n\nUse it as `double(2)`."
WRONG = RIGHT.replace("2 * x", "x * x")
ASKED = "Write double. It should pass:\n\n```python\nassert double(3) == 6\n```\n"


def built(folder: Path, **options: Any) -> execution.Execution:
    given = tools(folder, name="runs", recipe=folder, starting=lambda _: None, closing=lambda _: None)
    return execution.build(msgspec.convert(options, execution.Options, strict=True), given)


async def judged(folder: Path, said: str | None, asked: str = ASKED, choices: tuple = (), **options: Any) -> Verdict:
    execution_ = built(folder, **options)
    try:
        return await execution_.verify(ask(asked), Evidence(), Answer(text=said, model="m", choices=choices))
    finally:
        await execution_.sandbox.close()


@pytest.mark.parametrize(
    ("said", "code", "why"),
    [
        (RIGHT, "ok", "passed"),
        (WRONG, "tests_failed", "the tests, line 1: AssertionError"),
        ("def double(x): return x + x", "ok", "passed"),
        ("I would rather not.", "tests_failed", "SyntaxError"),
        ("```\ndouble = lambda x: x + x\n```", "ok", "passed"),
        ("```sql\nselect 1\n```", "no_code", "no Python code"),
        ("", "no_code", "no Python code"),
        (None, "no_code", "no Python code"),
        ("```python\nimport math\n```\nand\n```py\ndef double(x): return math.floor(2 * x)\n```", "ok", "passed"),
        ("```python\nwhile True: pass\n```", "code_stopped", "more than 1 s"),
        ("```python\nx = bytearray(10**9)\n```", "code_stopped", "more than 64 MB"),
        ("```python\nimport os\nos.fork()\n```", "tests_failed", "PermissionError"),
        ("```python\nimport os\nos._exit(0)\n```", "tests_failed", "before its tests did"),
        ("x" * 300_000, "answer_too_large", "200,000"),
    ],
)
async def test_it_says_how_the_code_ended(tmp_path, said, code, why) -> None:
    verdict = await judged(tmp_path, said, cpu=1, memory=64, seconds=100.0)
    assert verdict.code == code, verdict
    assert verdict.ok is (code == "ok")
    assert why in verdict.why


async def test_the_tests_are_the_recipe_s_and_the_question_s(tmp_path) -> None:
    (tmp_path / "tests.py").write_text("def test_zero():\n    assert double(0) == 0\n")
    assert (await judged(tmp_path, RIGHT, tests="tests.py")).ok
    assert not (await judged(tmp_path, "def double(x): return 2 * x or 1", tests="tests.py")).ok
    only = built(tmp_path, tests="tests.py", asked=False)
    try:
        assert (await only.verify(ask(ASKED), Evidence(), Answer(text=WRONG, model="m"))).ok, "0 * 0 is 0"
    finally:
        await only.sandbox.close()


async def test_every_choice_is_run(tmp_path) -> None:
    choices = ({"index": 1, "message": {"content": WRONG}},)
    assert not (await judged(tmp_path, RIGHT, choices=choices)).ok


def test_it_applies_only_where_there_are_tests(tmp_path) -> None:
    (tmp_path / "tests.py").write_text("assert True")
    spec, cache = ModelSpec(name="a"), ModelSpec(name="c", abilities=frozenset({"cache"}))
    assert built(tmp_path).applies(ask(ASKED), spec)
    assert not built(tmp_path).applies(ask("Write double."), spec)
    assert not built(tmp_path).applies(ask("Why does this fail?\n```python\nprint(1)\n```"), spec)
    assert not built(tmp_path).applies(ask(ASKED), cache)
    assert not built(tmp_path, models=["b"]).applies(ask(ASKED), spec)
    assert built(tmp_path, tests="tests.py").applies(ask("Write double."), spec)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"cpu": 0}, "0 or less"),
        ({"asked": False}, "no tests"),
        ({"tests": "missing.py"}, "cannot be used"),
        ({"tests": "broken.py"}, "cannot be used"),
    ],
)
def test_what_cannot_work_is_refused_at_start(tmp_path, options, why) -> None:
    (tmp_path / "broken.py").write_text("def f(:")
    with pytest.raises(ConfigError, match=why):
        built(tmp_path, **options)


async def test_code_that_fails_climbs_to_the_next_rung(tmp_path) -> None:
    judge = built(tmp_path)
    try:
        models = {"small": Says(WRONG), "large": Says(RIGHT)}
        outcome, trace = await flow.run(desk(models, verifiers=(seat(judge, "runs"),)), ask(ASKED))
    finally:
        await judge.sandbox.close()
    assert isinstance(outcome, Answer)
    assert outcome.model == "large"
    assert [step.code for step in trace.steps if step.stage == "verify"] == ["tests_failed:refuse", "ok"]
