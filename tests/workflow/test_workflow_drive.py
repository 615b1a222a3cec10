"""Items through flows: branches, loops, fan-out, retries, people, side effects and what takes them back."""

import asyncio

import pytest
from _works import Collects, decide, defined, done, system, through, write
from msgspec.structs import replace

from trimtab.errors import ConfigError, RequestError, UpstreamDownError
from trimtab.settings import Part
from trimtab.testing import Breaks, Judges, Passes, Says, Takes
from trimtab.types import Impact
from trimtab.workflow import journal
from trimtab.workflow import run as runs
from trimtab.workflow.effect import NotDone

COPY = {"name": "copy", "kind": "set", "values": {"n": "{input.n}"}}
SOON = {"times": 2, "wait": 0.001}


def test_a_bad_line_fails_alone_and_blank_ones_are_none(tmp_path):
    flow = defined(COPY, input={"type": "object", "required": ["n"]})
    said = done(tmp_path, flow, {"n": 1}, "", "{", "[1]", {"m": 2}, "\ufeff{}", {"n": 2})
    assert [(one["line"], one["state"]) for one in said] == [
        (1, "done"), (3, "failed"), (4, "failed"), (5, "failed"), (6, "failed"), (7, "done"),
    ]  # fmt: skip
    assert said[0]["result"] == {"copy": {"n": 1}}
    assert {one["error"]["code"] for one in said if one["state"] == "failed"} == {"bad_line"}


def test_a_line_that_is_no_utf8_or_too_long_fails_alone(tmp_path):
    path = tmp_path / "input.jsonl"
    path.write_bytes(b'{"n": "\xff"}\n{"n": 1}\n{"n": "' + b"x" * runs.LONGEST + b'"}')

    async def go():
        async with system(tmp_path) as on:
            return await through(on, defined(COPY), path)

    assert [one["state"] for one in asyncio.run(go())] == ["failed", "done", "failed"]


def test_branches_lead_by_the_first_that_holds(tmp_path):
    flow = defined(
        {
            "name": "size", "kind": "set", "values": {"n": "{input.n}"},
            "next": [
                {"to": "big", "when": [{"field": "size.n", "op": ">", "value": 10}]},
                {"to": "fail", "when": [{"field": "size.n", "op": "<", "value": 0}]},
                {"to": "end"},
            ],
        },
        {"name": "big", "kind": "set", "values": {"big": True}},
    )  # fmt: skip
    said = done(tmp_path, flow, {"n": 11}, {"n": 5}, {"n": -1})
    assert [one["state"] for one in said] == ["done", "done", "failed"]
    assert "big" in said[0]["result"]
    assert "big" not in said[1]["result"]
    assert said[2]["error"]["code"] == "led_to_fail"


def test_a_loop_ends_at_its_limit_and_leads_otherwise(tmp_path):
    again = {
        "name": "again", "kind": "call", "function": "f", "arguments": {"n": "{again.n?}"}, "times": 3,
        "next": "again", "otherwise": "end",
    }  # fmt: skip
    seen = []
    flow = defined(again, functions={"f": lambda n: seen.append(n) or {"n": (n or 0) + 1}})
    (said,) = done(tmp_path, flow, {})
    assert seen == [None, 1, 2]
    assert said["state"] == "done"
    assert said["result"]["again"]["code"] == "loop_limit"


def test_the_limit_of_steps_is_the_items_end_whatever_leads_otherwise(tmp_path):
    again = {
        "name": "again", "kind": "set", "values": {}, "times": 1000, "next": "again", "otherwise": "again",
    }  # fmt: skip
    (said,) = done(tmp_path, defined(again, limits={"steps": 20}), {})
    assert said["error"]["code"] == "too_many_steps"


def test_a_field_that_is_missing_fails_its_step_and_may_lead_otherwise(tmp_path):
    flow = defined({"name": "a", "kind": "set", "values": {"x": "{input.x}"}, "otherwise": "b"}, COPY | {"name": "b"})
    said = done(tmp_path, flow, {"n": 1}, {"x": 1})
    assert said[0]["result"]["a"]["code"] == "missing_field"
    assert said[0]["result"]["b"] == {"n": 1}
    assert said[1]["error"] == {"step": "b", "code": "missing_field", "why": "{input.n} is not there."}


def test_an_ask_is_a_request_on_the_path_with_its_own_ladder_schema_and_verifier(tmp_path):
    small, large, kept = Says('{"a": 1}', confidence=0.4), Says('{"a": 2}', confidence=0.9), Collects()
    ask = {
        "name": "q", "kind": "ask", "ask": "Say {input.n}", "system": "Be brief.", "models": ["large", "mid"],
        "schema": {"type": "object", "required": ["a"]}, "params": {"temperature": 0},
        "verify": [{"kind": "confidence", "threshold": 0.5}],
    }  # fmt: skip
    models = {"small": Says("no"), "mid": small, "large": large}
    (said,) = done(tmp_path, defined(ask), {"n": 7}, models=models, recorders=[kept])
    assert said["result"]["q"]["json"] == {"a": 2}
    assert not models["small"].asked
    assert small.asked[0].messages[0]["content"] == "Be brief."
    assert large.asked[0].messages[1]["content"] == "Say 7"
    assert large.asked[0].params["response_format"]["json_schema"]["schema"] == ask["schema"]
    (trace,) = kept.traces
    assert trace.request.id == said["result"]["q"]["trace"]
    assert [step.by for step in trace.steps if step.stage == "answer"] == ["mid", "large"]


def test_what_is_asked_is_data_not_a_template(tmp_path):
    large = Says("Yes.")
    flow = defined({"name": "q", "kind": "ask", "ask": "{input.n}"})
    done(tmp_path, flow, {"n": "{input.secret} {0} %s {{"}, models={"large": large})
    assert large.asked[0].messages[0]["content"] == "{input.secret} {0} %s {{"


def test_evidence_of_the_item_is_what_is_read(tmp_path):
    seen = []

    class Reads(Says):
        async def answer(self, request, evidence, sink):
            seen.append(evidence)
            return await super().answer(request, evidence, sink)

    flow = defined({"name": "q", "kind": "ask", "ask": "Who?", "evidence": "{input.text}"})
    text = "One paragraph. " * 50 + "\n\n" + "Another one. " * 90
    done(tmp_path, flow, {"text": text}, models={"large": Reads()})
    (evidence,) = seen
    assert len(evidence.passages) > 1
    for passage in evidence.passages:
        assert text[passage.start : passage.end] == passage.text


def test_what_may_pass_is_tried_again_and_then_told(tmp_path):
    class Comes:
        def __init__(self, after):
            self.left = after

        async def answer(self, request, evidence, sink):
            self.left -= 1
            if self.left >= 0:
                raise UpstreamDownError("It is down.")
            return await Says().answer(request, evidence, sink)

    flow = defined({"name": "q", "kind": "ask", "ask": "Hm?", "retry": SOON})
    assert done(tmp_path, flow, {}, models={"large": Comes(2)})[0]["state"] == "done"
    (said,) = done(tmp_path, flow, {"n": 2}, models={"large": Comes(3)})
    assert said["error"]["code"] == "upstream_down"


def test_an_answer_that_nobody_gives_is_a_persons_who_is_asked_once(tmp_path):
    flow = defined({"name": "q", "kind": "ask", "ask": "Hm?", "retry": SOON}, result="{q.text}")

    async def go():
        async with system(tmp_path, models={"large": Passes()}, inbox=True) as on:
            path = write(tmp_path, {}, {"n": 2})
            said = await through(on, flow, path)
            assert [one["state"] for one in said] == ["waiting", "waiting"]
            assert len(said[0]["tickets"]) == 1
            same = await through(on, flow, path, resume=True)
            assert same == said, "nothing is asked twice"
            assert await decide(on, answer="Ann's word.") == 2
            return await through(on, flow, path, resume=True)

    said = asyncio.run(go())
    assert [one.get("result") for one in said] == ["Ann's word.", "Ann's word."]


def test_a_persons_no_fails_the_item(tmp_path):
    flow = defined({"name": "q", "kind": "ask", "ask": "Hm?"})

    async def go():
        judge = Judges(lambda _: False)
        async with system(tmp_path, inbox=True, verifiers=[("j", judge)]) as on:
            path = write(tmp_path, {})
            assert (await through(on, flow, path))[0]["waits"]["step"] == "q"
            await decide(on, approve=False)
            return await through(on, flow, path, resume=True)

    (said,) = asyncio.run(go())
    assert said["error"]["code"] == "denied"


def test_a_doubted_or_missing_answer_leads_otherwise_and_no_person_is_asked(tmp_path):
    flow = defined({"name": "q", "kind": "ask", "ask": "Hm?", "otherwise": "copy"}, COPY)
    for models in ({"large": Passes()}, {"large": Says()}, {"large": Breaks(UpstreamDownError("down"))}):
        parts = {"models": models, "inbox": True, "verifiers": [("j", Judges(lambda _: False))]}
        (said,) = done(make(tmp_path / str(id(models))), flow, {"n": 1}, **parts)
        assert said["state"] == "done"
        assert said["result"]["q"]["code"]


def make(folder):
    folder.mkdir()
    return folder


def test_a_high_impact_answer_waits_at_its_step_and_an_internal_one_before_the_next_effect(tmp_path):
    counted = []
    effect = {"name": "act", "kind": "call", "function": "f", "effect": True}

    def count(key):
        counted.append(key)

    functions = {"f": count}

    async def go(internal, *steps):
        flow = defined({"name": "q", "kind": "ask", "ask": "Hm?", "internal": internal}, *steps, functions=functions)
        async with system(make(tmp_path / f"{internal}{len(steps)}"), router=Takes(Impact.HIGH), inbox=True) as on:
            path = write(on.settings.home, {})
            (said,) = await through(on, flow, path)
            before = len(counted)
            await decide(on)
            (after,) = await through(on, flow, path, resume=True)
            return said, before, after

    said, _, after = asyncio.run(go(False))
    assert (said["state"], said["waits"]["step"], after["state"]) == ("waiting", "q", "done")
    said, before, after = asyncio.run(go(True, effect))
    assert (said["state"], said["waits"]["step"], after["state"]) == ("waiting", "act", "done")
    assert before == 0
    assert len(counted) == 1
    said, _, after = asyncio.run(go(True))
    assert (said["state"], said["waits"]["step"], after["state"]) == ("waiting", "(release)", "done")


def test_a_person_decides_and_writes_json_that_fits(tmp_path):
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    step = {"name": "p", "kind": "person", "ask": "Complete {input.n}", "answer": {"a": None}, "schema": schema}

    async def go():
        async with system(tmp_path) as on:
            path = write(tmp_path, {"n": 1})
            flow = defined(step, result="{p.json}")
            (first,) = await through(on, flow, path)
            await decide(on)  # as it was shown: a is null
            (second,) = await through(on, flow, path, resume=True)
            await decide(on, answer='{"a": 5}')
            return first, second, (await through(on, flow, path, resume=True))[0]

    first, second, third = asyncio.run(go())
    assert first["state"] == second["state"] == "waiting"
    assert first["tickets"] != second["tickets"]
    assert "does not fit" in second["waits"]["why"]
    assert third["result"] == {"a": 5}


def test_what_happened_is_unknown_where_an_effect_raises_and_a_person_says(tmp_path):
    calls = []

    def breaks(key):
        calls.append(key)
        raise OSError("The line went dead.")

    flow = defined({"name": "act", "kind": "call", "function": "f", "effect": True, "retry": SOON},
                   functions={"f": breaks})  # fmt: skip

    async def go(approve):
        async with system(make(tmp_path / str(approve))) as on:
            path = write(on.settings.home, {})
            (said,) = await through(on, flow, path)
            assert said["state"] == "waiting"
            await decide(on, approve=approve)
            return (await through(on, flow, path, resume=True))[0]

    assert asyncio.run(go(True))["result"]["act"]["confirmed_by"] == "ann"
    assert asyncio.run(go(False))["error"]["code"] == "denied"
    assert len(calls) == 2, "one call for each run: none was repeated"


def test_an_effect_that_surely_did_not_happen_is_tried_again_with_its_key(tmp_path):
    keys = []

    def comes(key, n):
        keys.append((key, n))
        if len(keys) < 3:
            raise NotDone("not yet")
        return {"id": 1}

    step = {"name": "act", "kind": "call", "function": "f", "effect": True, "retry": SOON, "arguments": {"n": 1}}
    (said,) = done(tmp_path, defined(step, functions={"f": comes}), {})
    assert said["result"]["act"] == {"id": 1}
    assert len(set(keys)) == 1
    assert len(keys) == 3


def test_what_was_done_is_taken_back_the_last_first(tmp_path):
    log = []

    def step(name):
        undo = {"kind": "call", "name": f"un{name}", "function": "undo", "effect": True,
                "arguments": {"of": f"{{{name}.id}}"}}  # fmt: skip
        return {"name": name, "kind": "call", "function": "do", "effect": True, "arguments": {"name": name},
                "undo": undo}  # fmt: skip

    def do(name, key):
        log.append(name)
        return {"id": f"id-{name}"}

    functions = {"do": do, "undo": lambda of, **_: log.append(of)}
    each = {"name": "all", "kind": "each", "over": "{input.list}", "steps": [step("c")], "at_once": 1}
    fails = {"name": "bad", "kind": "check", "value": "{input.n}", "schema": {"type": "string"}}
    (said,) = done(tmp_path, defined(step("a"), step("b"), each, fails, functions=functions), {"n": 1, "list": [1, 2]})
    assert said["error"]["step"] == "bad"
    assert log == ["a", "b", "c", "c", "id-c", "id-c", "id-b", "id-a"]


def test_what_cannot_be_taken_back_is_a_persons_and_the_rest_is_taken_back(tmp_path):
    log = []

    def undo(key):
        log.append(key)
        raise OSError("no")

    def act(name):
        return {"name": name, "kind": "call", "function": "do", "effect": True,
                "undo": {"kind": "call", "name": f"un{name}", "function": "undo", "effect": True}}  # fmt: skip

    flow = defined(act("a"), act("b"), {"name": "bad", "kind": "check", "value": 1, "schema": {"type": "string"}},
                   functions={"do": lambda **_: None, "undo": undo})  # fmt: skip

    async def go():
        async with system(tmp_path) as on:
            path = write(tmp_path, {})
            said = []
            for _ in range(3):
                said += await through(on, flow, path, resume=True)
                await decide(on, approve=len(said) == 1)
            return said

    first, second, third = asyncio.run(go())
    assert [one["state"] for one in (first, second, third)] == ["waiting", "waiting", "failed"]
    assert third["error"]["step"] == "bad"
    assert len(log) == 2


def test_a_fan_out_keeps_its_order_and_its_limits(tmp_path):
    now, most = 0, 0

    async def slow(n):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01 / (n + 1))
        now -= 1
        return n * n

    each = {
        "name": "all", "kind": "each", "over": "{input.list}", "at_once": 3, "most": 8, "result": "{sq}",
        "steps": [{"name": "sq", "kind": "call", "function": "f", "arguments": {"n": "{item}"}}],
    }  # fmt: skip
    flow = defined(each, functions={"f": slow}, result="{all.all}")
    said = done(tmp_path, flow, {"list": list(range(8))}, {"list": list(range(9))}, {"list": "no"}, {"list": []})
    assert said[0]["result"] == [n * n for n in range(8)]
    assert most == 3
    assert [one.get("error", {}).get("code") for one in said] == [None, "too_many", "not_a_list", None]
    assert said[3]["result"] == []


PALETTE = [
    {"name": "look", "kind": "call", "function": "look", "arguments": {"what": "{item.say}"}},
    {"name": "sum", "kind": "set", "values": {"of": "{look.found?}", "say": "{item.say}"}},
]


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        ('{"steps": [{"step": "look", "say": "cats"}, {"step": "sum", "say": "all"}]}', ""),
        ('{"steps": [{"step": "delete_all", "say": ""}]}', "schema_mismatch"),
        ('{"steps": []}', "schema_mismatch"),
        ('{"steps": [' + ", ".join(['{"step": "look", "say": ""}'] * 4) + "]}", "schema_mismatch"),
        ('{"steps": [{"step": "look", "say": "x", "effect": true}]}', "schema_mismatch"),
        ("Let me think.", "bad_json"),
    ],
)
def test_a_plan_is_of_the_flows_own_steps_and_limits(tmp_path, plan, code):
    flow = defined(
        {"name": "plan", "kind": "plan", "ask": "{input.n}", "models": ["large"], "steps": PALETTE, "most": 3},
        functions={"look": lambda what: {"found": what.upper()}},
    )
    (said,) = done(tmp_path, flow, {"n": "Find cats"}, models={"large": Says(plan)})
    if code:
        assert said["error"]["code"] == code
    else:
        assert said["result"]["plan"]["all"] == [{"found": "CATS"}, {"of": "CATS", "say": "all"}]


def test_a_run_is_gone_on_with_or_begun_anew_but_not_by_accident(tmp_path):
    person = {"name": "p", "kind": "person", "ask": "?"}

    async def go():
        async with system(tmp_path) as on:
            path, flow = write(tmp_path, {}), defined(person)
            first = await runs.chosen(on.store, flow, path)
            with pytest.raises(RequestError) as unfinished:
                await runs.chosen(on.store, flow, path)
            assert unfinished.value.code == "run_unfinished"
            with pytest.raises(RequestError) as changed:
                await runs.chosen(on.store, defined(person, COPY), path, resume=True)
            assert changed.value.code == "flow_changed"
            assert (await runs.chosen(on.store, flow, path, resume=True)).id == first.id
            assert (await runs.chosen(on.store, flow, path, again=True)).id != first.id
            with runs.held(tmp_path, first.id), pytest.raises(RequestError) as held:
                await runs.go(on, flow, first)
            assert held.value.code == "run_held"
            await journal.forget(on.store, first.id)
            assert not await journal.items(on.store, first.id)

    asyncio.run(go())


def test_a_model_or_a_verifier_that_is_not_there_stops_the_run_before_it_begins(tmp_path):
    for more in ({"models": ["nobody"]}, {"verify": [{"kind": "nothing"}]}, {"verify": [{"threshold": 1}]}):
        with pytest.raises(ConfigError):
            done(tmp_path, defined({"name": "q", "kind": "ask", "ask": "?", **more}), {"n": str(more)})


def test_the_same_step_of_the_same_item_cannot_be_intended_twice(tmp_path):
    async def go():
        async with system(tmp_path) as on:
            path = write(tmp_path, {})
            run = await runs.chosen(on.store, defined(COPY), path)
            log = journal.Journal(on.store, run.id, 1)
            row = journal.Row(scope="", n=0, seq=0, step="x", state="begun", key="k")
            await log.intend(row)
            with pytest.raises(Exception, match="row"):
                await log.intend(row)

    asyncio.run(go())


def test_large_in_a_flow_is_what_the_recipe_calls_large(tmp_path):
    flow = defined({"name": "q", "kind": "ask", "ask": "?", "models": ["large"]})

    async def go():
        models = {"small": Says("no"), "gpt": Says("yes")}
        async with system(tmp_path, models=models) as on:
            part = Part(kind="rules", name="rules", options={"large": "gpt"})
            on = replace(on, settings=replace(on.settings, route=part))
            return await through(on, flow, write(tmp_path, {}))

    assert asyncio.run(go())[0]["result"]["q"]["text"] == "yes"
