"""Approvals: which cases wait for a person, and that a ticket is decided once, on the bytes that were seen."""

import asyncio
import hashlib
import json
import time

import msgspec
import pytest

from trimtab import flow
from trimtab.approve import _tickets, policy
from trimtab.errors import ConfigError, NoAnswerError, NotFoundError, RequestError, StorageError, TrimtabError
from trimtab.ports import Tools
from trimtab.store.engine import Store
from trimtab.store.tables import tickets
from trimtab.testing import Breaks, Judges, Says, Takes, ask, desk, seat
from trimtab.types import (
    OK,
    Action,
    Answer,
    Case,
    Citation,
    Decision,
    Impact,
    Pending,
    Request,
    Verdict,
    Wishes,
)

NO = Verdict(ok=False, by="grounding", code="not_grounded", why="Nothing supports it.")
ANSWER = Answer(text="It is 500 €.", model="small", confidence=0.4)
CALL = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": '{"to": "x", "eur": 9}'}}


def tools(store, starting=lambda _: None):
    return Tools(
        name="policy", recipe=store.path.parent, home=store.path.parent, encoder=lambda: None, store=lambda: store,
        personal=lambda _: (), secret=lambda _: None, starting=starting, closing=lambda _: None, say=lambda _: None,
    )  # fmt: skip


def case(answer=ANSWER, verdict=OK, *, impact=Impact.LOW, model="auto", actions=frozenset(), reasons=()):
    request = Request(
        id="tr_1", messages=({"role": "user", "content": "What is my limit?"},), principal="ann",
        wishes=Wishes(model=model),
    )  # fmt: skip
    decision = Decision(ladder=("small",), impact=impact, reasons=reasons)
    return Case(request=request, decision=decision, answer=answer, verdict=verdict, actions=actions)


async def ticket(store, one=None, expires=60.0):
    return await _tickets.create(store, one or case(), code="doubted_answer", why="Doubted.", expires=expires)


@pytest.mark.parametrize(
    ("one", "options", "code"),
    [
        (case(), {}, None),
        (case(impact=Impact.HIGH), {}, "high_impact"),
        (case(msgspec.structs.replace(ANSWER, impact=Impact.HIGH)), {}, "high_impact"),
        (case(actions=frozenset({Action.PERSON})), {}, "high_impact"),
        (case(actions=frozenset({Action.PERSON})), {"high_impact": "release"}, "high_impact"),
        (case(actions=frozenset({Action.LOCAL})), {}, None),
        (case(impact=Impact.HIGH), {"high_impact": "release"}, None),
        (case(impact=Impact.HIGH, verdict=NO), {}, "high_impact"),
        (case(impact=Impact.HIGH, verdict=NO), {"high_impact": "release"}, "doubted_answer"),
        (case(impact=Impact.HIGH, model="small"), {}, "high_impact"),
        (case(verdict=NO), {}, "doubted_answer"),
        (case(verdict=NO), {"doubted": "release"}, None),
        (case(None, NO), {}, "unanswered"),
        (case(None, NO, impact=Impact.HIGH), {}, "unanswered"),
        (case(None, NO), {"unanswered": "error"}, None),
        (case(None, NO), {"inbox": False}, None),
        (case(None, NO, model="small"), {}, None),
        (case(None, NO, model="small", impact=Impact.HIGH), {}, None),
    ],
)
def test_who_waits(one, options, code):
    need = policy.needs(policy.Options(**options), one)
    assert (need[0] if need else None) == code
    assert need is None or need[1]


async def test_the_ticket_is_on_disk_before_the_wait_is_told(store):
    pending = await policy.build(policy.Options(expires=90), tools(store)).approve(case(verdict=NO))
    row = store.rows(tickets.select())[0]  # read by another connection, with no flush
    assert (row.id, row.state, row.trace_id, row.principal) == (pending.ticket, "pending", "tr_1", "ann")
    assert hashlib.sha256(row.answer).hexdigest() == row.digest == pending.digest
    assert pending.why == "grounding doubts the answer: Nothing supports it."
    assert 80 < pending.expires - time.time() <= 90


async def test_without_an_inbox_what_needs_a_person_is_an_error(store):
    approver = policy.build(policy.Options(inbox=False), tools(store))
    for one in (case(impact=Impact.HIGH), case(verdict=NO), case(actions=frozenset({Action.PERSON}))):
        with pytest.raises(NoAnswerError, match="inbox"):
            await approver.approve(one)
    assert await approver.approve(case()) is None
    assert await store.read(tickets.select()) == []


async def test_nothing_is_released_when_the_ticket_cannot_be_stored(store):
    approver = policy.build(policy.Options(), tools(store))
    await store.close()
    with pytest.raises(StorageError):
        await approver.approve(case(impact=Impact.HIGH))


async def test_on_the_path_high_impact_doubt_and_silence_wait_and_all_else_leaves(store):
    approver = policy.build(policy.Options(), tools(store))

    async def outcome(models, request=None, **parts):
        return (await flow.run(desk(models, approver=approver, **parts), request or ask("Hi")))[0]

    doubts = (seat(Judges(lambda answer: answer.text != "Maybe.")),)
    assert isinstance(await outcome({"small": Says("Yes.")}, verifiers=doubts), Answer)
    assert (await outcome({"small": Says("Maybe.")}, verifiers=doubts)).code == "doubted_answer"
    assert (await outcome({"small": Says("Yes.")}, router=Takes(Impact.HIGH))).code == "high_impact"
    down = {"small": Breaks(RuntimeError("It is down."))}
    assert (await outcome(down)).code == "unanswered"
    with pytest.raises(RuntimeError, match="It is down"):
        await outcome(down, ask("Hi", wishes=Wishes(model="small")))
    stored = await _tickets.list(store)
    assert [one.code for one in stored] == ["doubted_answer", "high_impact", "unanswered"]
    assert [one.answer and one.answer.text for one in stored] == ["Maybe.", "Yes.", None]


async def test_what_was_approved_is_byte_for_byte_what_waited(store):
    rich = Answer(
        text="Zürich 🦀", model="small", tool_calls=(CALL,), extra={"b": 1, "a": [1.5, None]},
        body={"z": {"y": 1, "x": 2}}, citations=(Citation(source="a.md", start=0, end=3, quote="abc"),),
    )  # fmt: skip
    pending = await ticket(store, case(rich))
    done = await _tickets.approve(store, pending.ticket, "bob", pending.digest.upper())
    row = (await store.read(tickets.select()))[0]
    assert row.final == row.answer
    assert (done.state, done.decided_by, done.final_digest, done.final) == ("approved", "bob", pending.digest, rich)
    assert list(json.loads(row.final)["extra"]) == ["a", "b"]


async def test_the_digest_must_be_that_of_what_waits(store):
    pending = await ticket(store)
    for wrong in ("0" * 64, "", "é"):
        with pytest.raises(RequestError, match="digest") as caught:
            await _tickets.approve(store, pending.ticket, "bob", wrong)
        assert caught.value.code == "digest_mismatch"
    assert (await _tickets.get(store, pending.ticket)).state == "pending"


async def test_an_edit_makes_a_new_digest_and_drops_what_the_model_knew(store):
    pending = await ticket(store, case(msgspec.structs.replace(ANSWER, tool_calls=(CALL,))))
    done = await _tickets.approve(store, pending.ticket, "bob", pending.digest, "It is 600 €.")
    assert done.final.text == "It is 600 €."
    assert (done.final.label, done.final.confidence, done.final.tool_calls) == ("edited by bob", None, ())
    assert done.final_digest == hashlib.sha256(_tickets.canonical(done.final)).hexdigest() != pending.digest
    assert (done.digest, done.answer.text) == (pending.digest, ANSWER.text)


async def test_a_person_may_change_a_tool_call(store):
    pending = await ticket(store, case(Answer(text=None, model="m", tool_calls=(CALL,), finish="tool_calls")))
    changed = {**CALL, "function": {"name": "pay", "arguments": '{"to": "x", "eur": 8}'}}
    answer = Answer(text=None, model="m", tool_calls=(changed,), finish="tool_calls")
    done = await _tickets.approve(store, pending.ticket, "bob", pending.digest, answer)
    assert done.final.tool_calls == (changed,)
    assert done.final_digest != pending.digest


async def test_what_nobody_answered_needs_the_persons_own_answer(store):
    pending = await ticket(store, case(None, NO))
    assert pending.digest == ""
    with pytest.raises(RequestError, match="No model answered") as caught:
        await _tickets.approve(store, pending.ticket, "bob")
    assert caught.value.code == "answer_needed"
    with pytest.raises(RequestError, match="empty"):
        await _tickets.approve(store, pending.ticket, "bob", answer="  ")
    done = await _tickets.approve(store, pending.ticket, "bob", answer="It is 500 €.")
    assert (done.final.text, done.final.model, done.final.label) == ("It is 500 €.", "person", "answered by bob")


async def test_of_many_decisions_exactly_one_wins(store):
    pending = await ticket(store)
    deeds = [_tickets.approve(store, pending.ticket, f"a{i}", pending.digest) for i in range(10)]
    deeds += [_tickets.deny(store, pending.ticket, f"d{i}", "no") for i in range(10)]
    said = await asyncio.gather(*deeds, return_exceptions=True)
    won = [one for one in said if isinstance(one, _tickets.Ticket)]
    assert len(won) == 1
    assert {one.code for one in said if isinstance(one, TrimtabError)} == {"already_decided"}
    assert (await _tickets.get(store, pending.ticket)).decided_by == won[0].decided_by


async def test_of_decisions_in_two_processes_files_one_wins(store):
    pending, other = await ticket(store), Store.open(store.path)
    said = await asyncio.gather(
        _tickets.approve(store, pending.ticket, "ann"),
        _tickets.deny(other, pending.ticket, "bob"),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in said) == ["RequestError", "Ticket"]
    await other.close()


async def test_a_denied_ticket_says_why_and_stays_denied(store):
    pending = await ticket(store)
    done = await _tickets.deny(store, pending.ticket, "bob", "Wrong limit.")
    assert (done.state, done.note, done.final) == ("denied", "Wrong limit.", None)
    with pytest.raises(RequestError, match="denied by bob"):
        await _tickets.approve(store, pending.ticket, "ann", pending.digest)


async def test_a_timeout_means_no(store):
    pending = await ticket(store, expires=-1.0)
    assert (await _tickets.get(store, pending.ticket)).state == "expired"
    for deed in (_tickets.approve(store, pending.ticket, "bob"), _tickets.deny(store, pending.ticket, "bob")):
        with pytest.raises(RequestError, match="expired") as caught:
            await deed
        assert caught.value.code == "ticket_expired"
    assert (await _tickets.get(store, pending.ticket)).final is None


async def test_an_approved_ticket_does_not_expire_afterwards(store, monkeypatch):
    approved, forgotten = await ticket(store, expires=60.0), await ticket(store, expires=60.0)
    await _tickets.approve(store, approved.ticket, "bob")
    now = time.time()
    monkeypatch.setattr(_tickets.time, "time", lambda: now + 61)
    assert (await _tickets.get(store, approved.ticket)).state == "approved"
    assert (await _tickets.get(store, forgotten.ticket)).state == "expired"


async def test_lists_are_by_state_oldest_first(store):
    first = await ticket(store)
    await asyncio.sleep(0.002)  # ids sort by the millisecond
    second = await ticket(store)
    late = await ticket(store, expires=-1.0)
    denied = await ticket(store)
    await _tickets.deny(store, denied.ticket, "bob")

    async def ids(state):
        return [one.id for one in await _tickets.list(store, state)]

    assert await ids("pending") == [first.ticket, second.ticket]
    assert await ids("expired") == [late.ticket]
    assert await ids("denied") == [denied.ticket]
    assert len(await ids(None)) == 4
    assert len(await _tickets.list(store, None, n=2)) == 2


async def test_a_ticket_is_found_by_its_beginning_and_an_unknown_one_is_not(store):
    pending = await ticket(store)
    assert (await _tickets.get(store, pending.ticket[:-4])).id == pending.ticket
    await ticket(store)
    with pytest.raises(RequestError, match="Several"):
        await _tickets.get(store, "tk_")
    for unknown in ("tk_nothing", "", "%"):
        with pytest.raises(NotFoundError):
            await _tickets.get(store, unknown)
        with pytest.raises(NotFoundError):
            await _tickets.deny(store, unknown, "bob")


async def test_ids_cannot_be_guessed_from_one_another(store):
    ids = [(await ticket(store)).ticket for _ in range(20)]
    assert len({one[-20:] for one in ids}) == 20
    assert all(len(one) == len("tk_") + 12 + 20 for one in ids)


@pytest.mark.parametrize("expires", [0, -5, float("inf"), float("nan")])
def test_a_time_that_is_none_is_refused(expires):
    with pytest.raises(ConfigError, match="expires"):
        policy.build(policy.Options(expires=expires), None)


async def test_texts_that_utf8_does_not_have_are_stored_all_the_same(store):
    request = ask("a \ud800 b")
    odd = Case(request=request, decision=Decision(ladder=()), answer=Answer(text="\udfff", model="m"), verdict=OK)
    pending = await _tickets.create(store, odd, code="c", why="w \ud800", expires=9.0)
    assert isinstance(pending, Pending)
    seen = await _tickets.approve(store, pending.ticket, "bob", pending.digest)
    assert (seen.messages[0]["content"], seen.final.text) == ("a ? b", "?")
