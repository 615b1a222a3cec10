"""The user's rules: what each declarative check lets pass and what it stops, and functions that fail in every way."""

import threading
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab import flow
from trimtab.errors import ConfigError
from trimtab.testing import Says, ask, desk, seat, tools, verifies_well
from trimtab.types import Answer, Evidence, ModelSpec, Verdict
from trimtab.verify import rules

INVOICE = '{"total": 30.30, "lines": [{"price": 10.10}, {"price": 20.20}], "from": "2026-01-31", "to": "2026-02-28"}'
RULES = """
import time

def fine(text, value, question, answer, request, evidence):
    return bool(value) and value["total"] > 0 and question == "q" and answer.model == "m"

def why_not(value):
    return "the total is odd"

def no():
    return False

def raises(text):
    return 1 / 0

def forgets(text):
    text.strip()

def leaves():
    raise SystemExit(0)

def hangs():
    time.sleep(30)

async def awaited(value):
    return "total" in value

def asks(nobody_gives):
    return True
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "checks.py").write_text(RULES)
    return tmp_path


def built(recipe: Path, **options: Any) -> rules.Rules:
    return rules.build(msgspec.convert(options, rules.Options, strict=True), tools(recipe, name="mine", recipe=recipe))


async def verdict(recipe: Path, text: str | None, *checks: dict[str, Any], **options: Any) -> Verdict:
    more = {name: options.pop(name) for name in ("tool_calls", "choices") if name in options}
    answer = Answer(text=text, model="m", **more)
    return await built(recipe, checks=checks, **options).verify(ask("q"), Evidence(), answer)


@pytest.mark.parametrize(
    ("text", "check", "why"),
    [
        ("INV-0042", {"matches": "^INV-[0-9]{4}$"}, None),
        ("INV-42", {"matches": "^INV-[0-9]{4}$"}, "does not match"),
        ("All is well.", {"never": "(?i)guarantee"}, None),
        ("We GUARANTEE it.", {"never": "(?i)guarantee"}, "never may"),
        ("four", {"longest": 4}, None),
        ("seven", {"longest": 4}, "5 characters"),
        ("", {"shortest": 1}, "0 characters"),
        ("blue", {"one_of": ["red", "blue"]}, None),
        ("pink", {"one_of": ["red", "blue"]}, "none of 'red', 'blue'"),
        ('{"a": 1.0}', {"path": "a", "one_of": [1]}, None),
        ('{"a": true}', {"path": "a", "one_of": [1]}, "none of"),
        ('{"a": 5}', {"path": "a", "min": 5, "max": 5}, None),
        ('{"a": 5.01}', {"path": "a", "max": 5}, "above 5"),
        ('{"a": 4.99}', {"path": "a", "min": 5}, "below 5"),
        ('{"a": 0.1}', {"path": "a", "min": 0.1, "max": 0.1}, None),
        ('{"a": "5"}', {"path": "a", "min": 1}, "no number"),
        ('{"a": true}', {"path": "a", "min": 0}, "no number"),
        ('{"a": NaN}', {"path": "a", "min": 0}, "not JSON"),
        ('{"a": 1e400}', {"path": "a", "max": 10}, "above 10"),
        ('{"d": "2026-01-31"}', {"path": "d", "min": date(2026, 1, 1), "max": date(2026, 1, 31)}, None),
        ('{"d": "2026-02-01T00:00:00Z"}', {"path": "d", "max": date(2026, 1, 31)}, "above 2026-01-31"),
        ('{"d": "2026-02-30"}', {"path": "d", "min": date(2026, 1, 1)}, "no date"),
        ('{"d": "31.01.2026"}', {"path": "d", "date_format": "%d.%m.%Y"}, None),
        ('{"d": "2026-01-31"}', {"path": "d", "date_format": "%d.%m.%Y"}, "no date as"),
        (INVOICE, {"path": "total", "sum_of": "lines[*].price"}, None),
        (INVOICE.replace("30.30", "30.31"), {"path": "total", "sum_of": "lines[*].price"}, "come to 30.30"),
        (INVOICE.replace("30.30", "30.31"), {"path": "total", "sum_of": "lines[*].price", "tolerance": 0.01}, None),
        (INVOICE.replace("20.20", '"20"'), {"path": "total", "sum_of": "lines[*].price"}, "lines[1].price is no num"),
        (INVOICE, {"path": "from", "compare": "<", "to": "to"}, None),
        (INVOICE, {"path": "to", "compare": "<=", "to": "from"}, "not <= from"),
        (INVOICE, {"path": "from", "compare": "<", "to": "total"}, "no two numbers or dates"),
        (INVOICE, {"path": "from", "compare": "!=", "to": "total"}, None),
        (INVOICE, {"path": "total", "compare": ">", "to": "paid"}, "paid is missing"),
        (INVOICE, {"path": "lines[*].vat", "min": 0}, "lines[0].vat is missing"),
        (INVOICE, {"path": "lines[*].vat", "min": 0, "optional": True}, None),
        (INVOICE, {"path": "rows[*].vat", "min": 0}, "rows is missing"),
        ('{"lines": []}', {"path": "lines[*].vat", "min": 0}, None),
        ('{"lines": {}}', {"path": "lines[*].vat", "min": 0}, "lines[*] is missing"),
        ('{"lines": []}', {"path": "lines", "shortest": 1}, "0 items"),
        ("[1, 2, 1.0]", {"unique": True}, "[2] is 1.0 as the answer[0] is"),
        ('[{"a": 1}, {"a": 2}]', {"path": "[*].a", "unique": True}, None),
        ('[{"a": 1}, {"a": 1}]', {"path": "[*].a", "unique": True}, "[1].a is 1 as [0].a is"),
        ('{"kind": "refund", "sum": 5}', {"path": "sum", "max": 0, "when": {"kind": "refund"}}, "above 0"),
        ('{"kind": "order", "sum": 5}', {"path": "sum", "max": 0, "when": {"kind": "refund"}}, None),
        ("no JSON", {"path": "a", "min": 0}, "not JSON"),
        ("\ud800", {"matches": "x"}, "does not match"),
    ],
)  # fmt: skip
async def test_a_check_says_what_is_wrong_and_where(recipe, text, check, why) -> None:
    found = await verdict(recipe, text, check)
    assert found.ok is (why is None), found.why
    assert found.code == ("ok" if why is None else "rule_broken")
    assert why is None or why in found.why


@pytest.mark.parametrize(
    ("check", "why"),
    [
        ({}, "checks nothing"),
        ({"matches": "("}, "RE2"),
        ({"matches": r"(a)\1"}, "RE2"),
        ({"path": "a..b", "min": 1}, "no path"),
        ({"path": "a[x]", "min": 1}, "no path"),
        ({"path": "a", "compare": "<"}, "belong together"),
        ({"path": "a", "min": 1, "max": date(2026, 1, 1)}, "both"),
        ({"path": "a", "date_format": "%"}, "stray|bad|format"),
    ],
)
def test_a_check_that_is_none_is_refused_at_start(recipe, check, why) -> None:
    with pytest.raises(ConfigError, match=why):
        built(recipe, checks=[check])


async def test_every_choice_and_the_arguments_of_a_tool_are_checked(recipe) -> None:
    short = {"longest": 5}
    choices = ({"index": 1, "message": {"content": "far too long"}},)
    assert (await verdict(recipe, "fine", short)).ok
    assert not (await verdict(recipe, "fine", short, choices=choices)).ok
    refund = {"path": "amount", "max": 100, "tool": "refund"}

    def call(name: str, amount: int) -> dict[str, Any]:
        return {"type": "function", "function": {"name": name, "arguments": f'{{"amount": {amount}}}'}}

    assert (await verdict(recipe, None, refund, tool_calls=(call("refund", 100), call("order", 900)))).ok
    over = await verdict(recipe, None, refund, tool_calls=(call("refund", 101),))
    assert "amount is 101, above 100" in over.why


async def test_functions_are_given_what_they_name(recipe) -> None:
    assert (await verdict(recipe, INVOICE, functions=["checks.py:fine", "checks.py:awaited"])).ok
    said = await verdict(recipe, INVOICE, functions=["checks.py:fine", "checks.py:why_not"])
    assert (said.code, said.why) == ("rule_broken", "checks.py:why_not: the total is odd")
    assert (await verdict(recipe, INVOICE, functions=["checks.py:no"])).code == "rule_broken"


@pytest.mark.parametrize("name", ["raises", "forgets", "leaves", "hangs"])
async def test_a_function_that_fails_is_an_error_of_that_answer_alone(recipe, name) -> None:
    options = {"functions": [f"checks.py:{name}"], "seconds": 0.2}
    failed = await verdict(recipe, INVOICE, **options)
    assert (failed.ok, failed.code) == (False, "rule_crashed"), "closed is the default"
    assert (await verdict(recipe, INVOICE, **options, fail="open")).ok
    assert (await verdict(recipe, INVOICE, {"path": "total", "min": 0})).ok, "the rest goes on"


async def test_functions_that_hang_take_no_thread_from_anybody_else(recipe, monkeypatch) -> None:
    monkeypatch.setattr(rules, "THREADS", 1)
    rule = built(recipe, functions=["checks.py:hangs"], seconds=0.1)
    answer = Answer(text="x", model="m")
    before = threading.active_count()
    for _ in range(3):
        assert (await rule.verify(ask("q"), Evidence(), answer)).code == "rule_crashed"
    assert threading.active_count() <= before + 1


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("checks.py", "names no function"),
        ("checks.py:missing", "no function"),
        ("other.py:x", "no file"),
        ("../checks.py:x", "no file"),
        ("no.such.module:x", "cannot be imported"),
        ("broken.py:x", "cannot be imported"),
        ("checks.py:asks", "nobody_gives"),
    ],
)
def test_a_function_that_is_none_is_refused_at_start(recipe, named, why) -> None:
    (recipe / "broken.py").write_text("1 / 0")
    with pytest.raises(ConfigError, match=why):
        built(recipe, functions=[named])


async def test_it_keeps_the_contract_with_checks_and_functions(recipe) -> None:
    checks = [{"longest": 1000}, {"path": "a", "min": 1, "optional": True}, {"matches": "x", "when": {"a": 1}}]
    await verifies_well(built(recipe, checks=checks, functions=["checks.py:fine"]))


async def test_a_broken_rule_climbs_to_the_next_rung(recipe) -> None:
    rule = built(recipe, checks=[{"path": "total", "sum_of": "lines[*].price"}])
    wrong, right = Says(INVOICE.replace("30.30", "99")), Says(INVOICE)
    outcome, trace = await flow.run(desk({"small": wrong, "large": right}, verifiers=(seat(rule, "sums"),)), ask("q"))
    assert isinstance(outcome, Answer)
    assert outcome.model == "large"
    assert [step.code for step in trace.steps if step.stage == "verify"] == ["rule_broken:refuse", "ok"]


def test_it_applies_to_all_but_the_cache_or_to_the_models_named(recipe) -> None:
    check = {"longest": 10}
    assert built(recipe, checks=[check]).applies(ask("q"), ModelSpec(name="a"))
    assert not built(recipe, checks=[check]).applies(ask("q"), ModelSpec(name="c", abilities=frozenset({"cache"})))
    assert not built(recipe, checks=[check], models=["b"]).applies(ask("q"), ModelSpec(name="a"))


async def test_a_pattern_that_backtracks_elsewhere_is_linear_here(recipe) -> None:
    assert not (await verdict(recipe, "a" * 200_000 + "!", {"matches": "^(a+)+$"})).ok
