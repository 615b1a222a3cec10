"""The deterministic rung on what the user brings: tables, functions, patterns, a text, Python code; or it passes."""

import os
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab import flow
from trimtab.answer import code
from trimtab.errors import ConfigError
from trimtab.testing import Hears, Says, ask, desk, tools
from trimtab.types import FREE, Answer, Evidence, ModelSpec, Verdict

PRICES = "product,unit_price,stock,cost of goods\nWidget A,4.50,12,2\nWidget B,7,0,3\nwidget b,8,1,3\nThe Box,1,,1\n"
FUNCTIONS = """
import time
from fractions import Fraction
from trimtab.answer.code import exact

@exact("shipping to {country} for {weight:number} kg", "what does it cost to ship {weight:number} kg to {country}")
def shipping(country, weight):
    rates = {"norway": 3, "france": 2}
    rate = rates.get(country.lower())
    return None if rate is None else rate * weight

@exact("the code of {a} and {b}")
def code(a, b):
    return f"{a}-{b}"

@exact("day of {day:date}")
def day(day):
    return day.strftime("%A")

@exact("crash {what:word}")
def crash(what):
    raise KeyError(what)

@exact("hang please now")
def hang():
    time.sleep(30)

@exact("list it")
def wrong():
    return ["no", "text"]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "prices.csv").write_text(PRICES)
    (tmp_path / "answers.py").write_text(FUNCTIONS)
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("create table staff (name text, phone text, room integer)")
        rows = [("Ada", "123", 7), ("Bob", "456", None), ("Eve", "1", 1), ("eve", "2", 2), ("O'Neil", "9", 9)]
        database.executemany("insert into staff values (?, ?, ?)", rows)
    return tmp_path


def rung(recipe: Path, **options: Any) -> code.Code:
    given = msgspec.convert({"now": "2026-11-20T12:00:00+00:00", **options}, code.Options, strict=True)
    return code.build(given, tools(recipe, name="code", recipe=recipe))


async def said(recipe: Path, question: str, **options: Any) -> str | None:
    found = await rung(recipe, **options).answer(ask(question), Evidence(), Hears())
    return found.text if isinstance(found, Answer) else None


CSV = {"tables": [{"path": "prices.csv", "key": "product"}]}
STAFF = {"tables": [{"path": "shop.db", "key": "name", "table": "staff"}]}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the unit price of Widget A?", "4.50"),
        ("what's widget a's unit_price", "4.50"),
        ("stock for Widget A please", "12"),
        ("Give me the cost of goods of Widget A", "2"),
        ("What is the unit price of The Box?", "1"),
        ("What is the unit price of Widget B?", None),  # two rows that differ
        ("What is the cost of goods of Widget B?", "3"),  # two rows that agree
        ("What is the stock of The Box?", None),  # empty
        ("What is the price of Widget A?", None),
        ("What is the unit price of Widget C?", None),
        ("What is the unit price of Widget A in euros?", None),
        ("Why is the unit price of Widget A so high?", None),
        ("What is the product of Widget A?", None),
        ("what is 2 + 2", "4"),
    ],
)
async def test_a_table_is_looked_up_where_the_question_is_clear(recipe, question, answer) -> None:
    assert await said(recipe, question, **CSV) == answer


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is Ada's phone?", "123"), ("What is the room of ada?", "7"), ("What is Bob's room?", None),
        ("What is Eve's phone?", None), ("What is O'Neil's room?", "9"), ("What is Zoe's room?", None),
        ("What is the room of x' or '1'='1?", None), ("What is the sqlite_version() of Ada?", None),
    ],
)  # fmt: skip
async def test_a_database_is_asked_read_only(recipe, question, answer) -> None:
    assert await said(recipe, question, **STAFF) == answer


async def test_only_the_columns_named_may_be_asked_for(recipe) -> None:
    tables = [{"path": "prices.csv", "key": "product", "columns": ["stock"]}]
    assert await said(recipe, "stock of Widget A", tables=tables) == "12"
    assert await said(recipe, "unit price of Widget A", tables=tables) is None


async def test_two_tables_that_differ_say_nothing(recipe) -> None:
    (recipe / "old.csv").write_text("product,unit_price\nWidget A,4.00\nThe Box,1\n")
    both = {"tables": [*CSV["tables"], {"path": "old.csv", "key": "product"}]}
    assert await said(recipe, "unit price of Widget A", **both) is None
    assert await said(recipe, "unit price of The Box", **both) == "1"


async def test_a_table_is_read_again_when_it_changes_and_one_that_is_gone_leaves_the_question_to_others(recipe) -> None:
    built = rung(recipe, **CSV)
    (recipe / "prices.csv").write_text(PRICES.replace("4.50", "5.25"))
    os.utime(recipe / "prices.csv", ns=(1, 1))
    found = await built.answer(ask("unit price of Widget A"), Evidence(), Hears())
    assert found.text == "5.25"
    assert found.label == "table prices.csv: unit price of Widget A"
    (recipe / "prices.csv").unlink()
    specs = {name: ModelSpec(name=name, price=FREE, abilities=frozenset({"chat"})) for name in ("code", "large")}
    large = Says("5.25, I think.")
    given = desk({"code": built, "large": large}, specs=specs)
    outcome, trace = await flow.run(given, ask("unit price of Widget A"))
    assert outcome.model == "large"
    assert "prices.csv cannot be read" in trace.steps[1].why
    outcome, _ = await flow.run(given, ask("what is 2 + 2"))
    assert (outcome.model, outcome.text) == ("code", "4"), "the rest goes on"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"tables": [{"path": "none.csv", "key": "a"}]}, "cannot be read"),
        ({"tables": [{"path": "prices.csv", "key": "name"}]}, "no column name"),
        ({"tables": [{"path": "prices.csv", "key": "product", "columns": ["colour"]}]}, "no column colour"),
        ({"tables": [{"path": "none.db", "key": "a", "table": "t"}]}, "cannot be read"),
        ({"tables": [{"path": "prices.csv", "key": "a", "table": "t"}]}, "cannot be read"),
        ({"tables": [{"path": "shop.db", "key": "name", "table": "nobody"}]}, "no column name"),
        ({"tables": [{"path": "broken.csv", "key": "a"}]}, "cannot be read"),
        ({"functions": "none.py"}, "no file"),
        ({"functions": "empty.py"}, "no function under"),
        ({"functions": "odd.py"}, "has colour"),
        ({"functions": "all.py"}, "every question"),
        ({"extract": {"orders": "("}}, "extract"),
    ],
)
def test_what_cannot_work_is_refused_at_start(recipe, options, why) -> None:
    (recipe / "broken.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    (recipe / "empty.py").write_text("x = 1")
    head = "from trimtab.answer.code import exact\n"
    (recipe / "odd.py").write_text(head + "@exact('the {x:colour}')\ndef f(x): return x\n")
    (recipe / "all.py").write_text(head + "@exact('{x}')\ndef f(x): return x\n")
    with pytest.raises(ConfigError, match=why):
        rung(recipe, **options)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Shipping to Norway for 2.5 kg?", "7.5"),
        ("What does it cost to ship 3 kg to France?", "6"),
        ("shipping to Mars for 2 kg", None),
        ("shipping to Norway for two kg", None),
        ("shipping to Norway for 1,5 kg", None),
        ("shipping to Norway for 2 kg by air", None),
        ("the code of x and y", "x-y"),
        ("the code of x and y and z", None),
        ("day of 2026-11-28", "Saturday"),
        ("day of 2026-02-30", None),
        ("what is 15% of 240", "36"),
    ],
)
async def test_a_function_answers_what_is_its_pattern_in_one_way_only(recipe, question, answer) -> None:
    assert await said(recipe, question, functions="answers.py") == answer


async def test_the_trace_shows_the_parse(recipe) -> None:
    built = rung(recipe, functions="answers.py")
    found = await built.answer(ask("Shipping to Norway for 2.5 kg?"), Evidence(), Hears())
    assert (found.label, found.confidence) == ("function: shipping(country=Norway, weight=2.5)", 1.0)


@pytest.mark.parametrize("question", ["crash now", "hang please now", "list it"])
async def test_a_function_that_fails_falls_to_the_next_rung(recipe, question) -> None:
    specs = {name: ModelSpec(name=name, price=FREE, abilities=frozenset({"chat"})) for name in ("code", "large")}
    models = {"code": rung(recipe, functions="answers.py", seconds=0.2), "large": Says("Large.")}
    outcome, trace = await flow.run(desk(models, specs=specs), ask(question))
    assert outcome.model == "large"
    assert [step.ok for step in trace.steps if step.stage == "answer"] == [False, True]


TEXT = (
    "Write to ada@example.org or bob@test.co.uk (not ada@example.org twice). See https://x.org/a_(b), #fun, 2026-01-31."
)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (f"Extract all email addresses from the following text:\n{TEXT}", "ada@example.org\nbob@test.co.uk"),
        (f"list the emails in this text: {TEXT}", "ada@example.org\nbob@test.co.uk"),
        (f"Find all links in the following:\n{TEXT}", "https://x.org/a_(b)"),
        ("Extract the URLs from this:\n(see https://x.org/a, and https://y.org.)", "https://x.org/a\nhttps://y.org"),
        (f"extract the ISO dates from this text:\n{TEXT}", "2026-01-31"),
        (f"extract all hashtags from this:\n{TEXT}", "#fun"),
        ("extract the uuids from this:\nnone here", "There are no uuids in it."),
        ("Extract the order numbers from this message:\nORD-1 and ORD-22, ORD-1", "ORD-1\nORD-22"),
        ("Extract the IP addresses from this log:\n10.0.0.1 said 255.255.255.255.", "10.0.0.1\n255.255.255.255"),
        ("Extract the IP addresses from this log:\nversion 1.2.3.4.5", None),
        ("Extract the dates from this text:\n1/2/2026", None),
        ("Extract the emails from this text:\nx@a.org@b.org", None),
        (f"Extract the names from this text:\n{TEXT}", None),
        (f"Extract all emails from this text and translate it:\n{TEXT}", None),
        ("Extract all email addresses from the following text:", None),
    ],
)
async def test_things_are_extracted_of_which_everybody_sees_the_same(recipe, question, answer) -> None:
    assert await said(recipe, question, extract={"order numbers": "ORD-[0-9]+"}) == answer


CODE = """
import os, re as r
from . import near
from json import dumps

class Shop:
    def open(self, at: int, *, door="front") -> bool:
        return self.unlock(door) and os.path.exists(str(at))

    async def close(self, *args, **more): ...

def main(argv=None, /):
    shop = Shop()
    shop.open(9)
    helper(helper(1))

def helper(x):
    return dumps(x)
"""


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("What functions are defined in this code?", "Shop.open, Shop.close, main, helper"),
        ("List all functions", "Shop.open, Shop.close, main, helper"),
        ("Which classes does the code define?", "Shop"),
        ("What does this module import?", "os, re, ., json"),
        ("What is the signature of open?", "def open(self, at: int, *, door='front') -> bool"),
        ("What is the signature of `Shop.close`?", "async def close(self, *args, **more)"),
        ("What parameters does close take?", "self, *args, **more"),
        ("Which arguments does main take?", "argv"),
        ("What does main call?", "Shop, shop.open, helper"),
        ("Which functions call helper?", "main"),
        ("What calls main?", "No function of it calls main."),
        ("What is the signature of missing?", None),
        ("What does this code do?", None),
        ("Is this code good?", None),
        ("What functions should this code define?", None),
    ],
)
async def test_facts_of_code_are_read_from_its_tree(recipe, asked, answer) -> None:
    assert await said(recipe, f"{asked}\n\n```python\n{CODE}\n```") == answer
    assert await said(recipe, f"```python\n{CODE}\n```\n{asked}") == answer


@pytest.mark.parametrize(
    "block",
    [
        "def f(:", "x = " + "(" * 5000, "-" * 15_000 + "1", "def f(): ...\ndef f(x): ...", "\x00", "\ud800",
        "a" + ".b" * 9000, "[" * 90 + "]" * 90,
    ],
    ids=lambda block: repr(block[:12]),
)  # fmt: skip
async def test_code_that_is_none_or_says_a_name_twice_is_left_alone(recipe, block) -> None:
    assert await said(recipe, f"What is the signature of f?\n```python\n{block}\n```") is None


async def test_a_pass_says_why(recipe) -> None:
    found = await rung(recipe, **CSV).answer(ask("unit price of Widget B"), Evidence(), Hears())
    assert isinstance(found, Verdict)
    assert found.code == "not_parsed"
