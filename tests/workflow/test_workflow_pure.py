"""Templates, conditions, values from texts, and the flows that are none: each says what is wrong."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import ConfigError
from trimtab.settings import RECIPES
from trimtab.workflow import define, draw, planned, template
from trimtab.workflow.condition import Condition, holds, said
from trimtab.workflow.extract import amount, value
from trimtab.workflow.journal import Row
from trimtab.workflow.machine import standing, to_undo, unreleased
from trimtab.workflow.steps import Pattern
from trimtab.workflow.template import Missing, fill

CONTEXT = {"input": {"text": "Hi {a}", "n": 3, "list": [1, {"x": "y"}], "none": None}, "a": {"text": "yes"}}


@pytest.mark.parametrize(
    ("written", "filled"),
    [
        ("Say {input.text}!", "Say Hi {a}!"), ("{input.n}", 3), ("{input.n} ", "3 "), ("{input.list.1.x}", "y"),
        ("{{input.n}}", "{input.n}"), ("{{{input.n}}}", "{3}"), ("{b.text?}", None), ("<{b.text?}>", "<>"),
        ("{b.text|a.text}", "yes"), ("{input.none|a.text}", "yes"), ("{input.none}", None),
        ("{input.list} ", '[1,{"x":"y"}] '),
        ({"k": ["{input.n}", True, None]}, {"k": [3, True, None]}), ("", ""), (5, 5),
    ],
)  # fmt: skip
def test_a_template_is_filled_and_what_fills_it_is_not_read_again(written, filled):
    assert fill(written, CONTEXT) == filled


@pytest.mark.parametrize(
    "written", ["{", "}", "{a", "{a b}", "{A}", "{a.__class__!r}", "{0}", "{a:>10}", "{}", "{a||b}"]
)
def test_what_is_no_template_says_so(written):
    with pytest.raises(ConfigError, match="no template"):
        template.parse(written)


@pytest.mark.parametrize("written", ["{b}", "{input.text.x}", "{input.list.9}", "{input.list.-1}", "{input.n.real}"])
def test_a_place_that_nothing_fills_is_missing(written):
    with pytest.raises(Missing):
        fill(written, CONTEXT)


@given(st.text())
def test_any_text_in_a_place_comes_out_as_it_went_in(text):
    assert fill("{input}{input}", {"input": text}) == text + text
    assert fill("{input}", {"input": text}) == text


@given(st.text(alphabet="{}ab. ?|"))
def test_a_template_is_read_or_refused_and_nothing_else(text):
    try:
        template.parse(text)
    except ConfigError:
        return


def test_a_text_that_grows_without_end_is_cut_off():
    with pytest.raises(Missing, match="more than"):
        template.text("{a}{a}", {"a": "x" * 600_000})


@pytest.mark.parametrize(
    ("field", "op", "against", "true"),
    [
        ("n", "==", 3, True), ("n", "==", "3", True), ("n", "==", True, False), ("one", "==", True, True),
        ("s", "==", "x", True), ("n", ">", 2.5, True), ("n", ">", 3, False), ("n", ">=", 3, True),
        ("n", "<", "10", True),
        ("s", "<", 1, False), ("gone", "==", None, False), ("gone", "!=", 1, True), ("none", "exists", None, False),
        ("none", "missing", None, True), ("gone", "missing", None, True), ("empty", "missing", None, True),
        ("zero", "exists", None, True), ("s", "in", ["x", "y"], True), ("n", "in", ["3"], True),
        ("s", "not_in", ["y"], True), ("list", "contains", 2, True), ("text", "contains", "lo w", True),
        ("n", "contains", "3", False), ("text", "matches", "^hel+o", True), ("text", "matches", "^w", False),
        ("total", "sums", ["net", "tax"], True), ("n", "sums", ["net", "tax"], False),
        ("total", "sums", ["net", "gone"], False),
        ("inf", "<", 5, False),
    ],
)  # fmt: skip
def test_a_condition_holds_or_not(field, op, against, true):
    context = {
        "n": 3, "s": "x", "none": None, "empty": "", "zero": 0, "one": True, "list": [1, 2], "text": "hello world",
        "net": "0.10", "tax": "0.20", "total": "0.30", "inf": "inf",
    }  # fmt: skip
    assert holds((Condition(field=field, op=op, value=against),), context) is true


def test_a_condition_against_a_field_and_one_of_several():
    context = {"a": {"n": 2}, "b": 2.0}
    same = Condition(field="a.n", op="==", value_of="b")
    either = Condition(any=(Condition(field="c"), same))
    assert holds((same, either), context)
    assert said(either) == "(c is there) or (a.n == b)"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1234", "1234"), ("1,234.50", "1234.50"), ("1.234,50", "1234.50"), ("1 234,50", "1234.50"), ("12,5", "12.5"),
        ("1'234.50", "1234.50"), ("1,234,567", "1234567"), ("-3.00", "-3.00"), ("1,234", None), ("1.234", None),
        ("1,23,4.5", None), ("1.2.3", None), ("12,34,567", None), ("", None), (".5", None), ("٣", None),
    ],
)  # fmt: skip
def test_an_amount_has_one_reading_or_none(written, read):
    assert amount(written) == read


@pytest.mark.parametrize(
    ("pattern", "form", "every", "text", "read"),
    [
        (r"\d+", "text", False, "a 1 b 1", "1"), (r"\d+", "text", False, "a 1 b 2", None),
        (r"\d+", "text", True, "a 1 b 2 c 1", ["1", "2"]), (r"no (\d+)", "integer", False, "no 007", 7),
        (r"x", "flag", False, "axb", True), (r"y", "flag", False, "axb", False),
        (r"on (.+)", "date", False, "on 12 March 2026", "2026-03-12"),
        (r"on (.+)", "date", False, "on 03/04/2026", None),
        (r"[A-Z]{2}\d+", "iban", False, "DE89370400440532013000", "DE89370400440532013000"),
        (r"[A-Z]{2}\d+", "iban", False, "DE89370400440532013001", None),
        (r"\S+", "amount", True, "1.50 1,234 x", ["1.50"]),
    ],
)  # fmt: skip
def test_a_value_stands_clearly_in_the_text_or_is_none(pattern, form, every, text, read):
    assert value(Pattern(pattern=pattern, form=form, all=every), text) == read


STEP = {"name": "a", "kind": "set", "values": {}}
CALL = {"name": "a", "kind": "call", "function": "f"}
WRONG = [
    ([], "needs a step"),
    ([STEP, STEP], "Two steps are called a"),
    ([STEP | {"name": "input"}], "may not be called input"),
    ([STEP | {"name": "A b"}], "is wrong"),
    ([STEP | {"kind": "shell"}], "Invalid value 'shell'"),
    ([STEP | {"value": 1}], "unknown field `value`"),
    ([STEP | {"next": "b"}], "leads to b, which is not there"),
    ([STEP | {"next": "end"}, STEP | {"name": "b"}], "'b' is never reached"),
    ([STEP | {"next": "a"}], "stands in a loop that has no limit"),
    ([STEP | {"next": "b"}, STEP | {"name": "b", "next": "a", "times": 2}], "'a' stands in a loop"),
    ([STEP | {"next": [{"to": "end", "when": [{"field": "a.x"}]}]}], "leads nowhere when no branch holds"),
    ([STEP | {"values": {"x": "{b.y}"}}], "nothing there is called 'b'"),
    ([STEP | {"values": {"x": "{y"}}], "no template"),
    ([STEP | {"next": [{"to": "end", "when": [{"op": "=="}]}, {"to": "end"}]}], "a condition needs a field"),
    ([STEP | {"next": [{"to": "end", "when": [{"field": "a", "op": "matches", "value": "("}]}, {"to": "end"}]}], "RE2"),
    ([{"name": "a", "kind": "ask", "ask": "?", "schema": {"type": "no"}}], "schema that cannot be used"),
    ([{"name": "a", "kind": "ask", "ask": "?", "cost": "-1"}], "cost that is none"),
    ([{"name": "a", "kind": "extract", "from": "x", "fields": {"b": {"pattern": "(a)(b)"}}}], "2 groups"),
    ([{"name": "a", "kind": "extract", "from": "x", "fields": {"b": {"pattern": "(?<=a)b"}}}], "pattern for b"),
    ([{"name": "a", "kind": "post", "url": "ftp://x"}], "has the url"),
    ([{"name": "a", "kind": "post", "url": "http://{input.host}/"}], "has the url"),
    ([CALL | {"undo": CALL | {"name": "b"}}], "no effect"),
    ([{"name": "a", "kind": "each", "over": "list", "steps": [STEP | {"name": "b"}]}], "no list"),
    ([{"name": "a", "kind": "each", "over": "{input}", "steps": [STEP]}], "Two steps"),
    ([{"name": "a", "kind": "plan", "ask": "?", "steps": [STEP | {"name": "b", "next": "end"}]}], "in a plan"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "why"), WRONG)
def test_a_flow_that_is_none_says_what_is_wrong(steps, why):
    with pytest.raises(ConfigError) as raised:
        define.parse({"name": "x", "step": steps})
    assert why in str(raised.value)
    assert raised.value.fix


def test_files_that_are_no_flow_say_so(tmp_path):
    for name, text, why in (
        ("a.toml", "= 1", "is not TOML"), ("b.py", "x = 1", "has no flow"), ("c.py", "1 / 0", "ZeroDivisionError"),
        ("d.toml", '[[step]]\nname = "a"\nkind = "call"\nfunction = "os:nothing"', "no function"),
        ("e.toml", '[[step]]\nname = "a"\nkind = "call"\nfunction = "gone.py:f"', "no Python file"),
        ("f.toml", '[[step]]\nname = "a"\nkind = "call"\nfunction = "f"', "no function"),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=why):
            define.load(tmp_path / name)
    with pytest.raises(ConfigError, match="invoices, triage"):
        define.load("nothing")


PYTHON = """
from trimtab.workflow.steps import Call, Flow, Set

def twice(n):
    return {"n": n * 2}

flow = Flow(name="mine", steps=(Call(name="double", function="twice", arguments={"n": "{input.n}"}),))
"""


def test_a_flow_may_be_python_and_is_what_the_same_toml_is(tmp_path):
    (tmp_path / "flow.py").write_text(PYTHON)
    loaded = define.load(tmp_path)
    assert loaded.functions["twice"](n=2) == {"n": 4}
    table = {"name": "mine", "step": [
        {"name": "double", "kind": "call", "function": "twice", "arguments": {"n": "{input.n}"}},
    ]}  # fmt: skip
    assert define.parse(table) == loaded.flow
    assert define.Defined(flow=define.parse(table), file=tmp_path).digest == loaded.digest


def test_a_file_of_functions_is_run_once(tmp_path):
    (tmp_path / "own.py").write_text("seen = []\ndef a():\n    return seen\ndef b():\n    return seen\n")
    step = '[[step]]\nname = "{0}"\nkind = "call"\nfunction = "own.py:{0}"\n'
    (tmp_path / "flow.toml").write_text(step.format("a") + step.format("b"))
    functions = define.load(tmp_path).functions
    assert functions["own.py:a"]() is functions["own.py:b"]()


def test_the_digest_is_of_the_definition_alone():
    text = '[[step]]\nname = "a"\nkind = "set"\n'
    flows = [
        define.parse({"name": "x", **tomllib.loads(one)}) for one in (text, f"# new\n{text}", f"{text}times = 2\n")
    ]
    first, commented, changed = (define.Defined(flow=flow, file=RECIPES).digest for flow in flows)
    assert first == commented != changed


def row(n, step, state, **more):
    return Row(scope="", n=n, seq=n, step=step, state=state, key=f"k{n}", **more)


def test_where_an_item_stands_follows_from_its_rows_alone():
    flow = define.parse({"name": "x", "step": [STEP, STEP | {"name": "b"}]})
    assert standing(flow.steps, ()).at == "a"
    now = standing(flow.steps, [row(0, "a", "done", next="b", output={"x": 1})])
    assert (now.at, now.n, now.outputs, now.open) == ("b", 1, {"a": {"x": 1}}, None)
    begun = row(1, "b", "begun")
    now = standing(flow.steps, [row(0, "a", "done", next="b"), begun])
    assert (now.at, now.n, now.open) == ("b", 1, begun)


def test_a_persons_look_releases_what_came_before_it_and_only_an_undo_takes_back():
    act = {"name": "act", "kind": "call", "function": "f", "effect": True}
    steps = define.parse({"name": "x", "step": [
        {"name": "q", "kind": "ask", "ask": "?", "internal": True},
        {"name": "p", "kind": "person", "ask": "?"},
        act | {"undo": act | {"name": "back"}},
        act | {"name": "other"},
    ]}).steps  # fmt: skip
    named = {step.name: step for step in steps}
    high = row(0, "q", "done", output={"impact": "high"})
    seen = row(1, "p", "done", output={"decided": "approved"})
    told = row(1, "act", "done", output={"decided": "approved"})
    assert unreleased([high], named) == high
    assert unreleased([high, seen], named) is None
    assert unreleased([high, told], named) == high, "an effect's own output releases nothing"
    rows = [row(0, "act", "done"), row(1, "other", "done"), row(2, "act", "failed"), row(3, "act", "done")]
    assert [one.n for one in to_undo(rows, named)] == [3, 0]


def test_what_a_person_writes_in_a_plans_place_is_held_to_the_same():
    (plan,) = define.parse({"name": "x", "step": [
        {"name": "p", "kind": "plan", "ask": "?", "steps": [STEP], "most": 1},
    ]}).steps  # fmt: skip
    assert planned.read(plan, {"steps": [{"step": "a", "say": ""}]}) == ([{"step": "a", "say": ""}], "")
    assert "does not fit" in planned.read(plan, {"steps": [{"step": "b", "say": ""}]})[1]


@pytest.mark.parametrize("name", define.shipped())
def test_a_drawing_names_every_step_and_every_way(name):
    flow = define.load(name).flow
    text, chart, picture = "\n".join(draw.lines(flow)), draw.mermaid(flow), draw.svg(flow)
    for step in define.every(flow.steps):
        assert step.name in text
        assert step.name in chart
        assert f">{step.name}</text>" in picture
    assert picture.startswith("<svg")
    assert "<script" not in picture


def test_a_drawing_writes_out_what_would_be_markup():
    flow = define.parse({"name": "x", "step": [
        STEP | {"next": [{"to": "fail", "when": [{"field": "a.x", "op": "==", "value": '<b>"&'}]}, {"to": "end"}]},
        ]})  # fmt: skip
    assert "<b>" not in draw.svg(flow) + draw.mermaid(flow)
