"""What one step does, by its kind, and how one goes on that was begun before this process."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.money import total
from trimtab.types import Json
from trimtab.workflow import ask, condition, effect, extract, fits, person, planned
from trimtab.workflow.condition import holds
from trimtab.workflow.journal import Row
from trimtab.workflow.result import Done, Fails, Result, Waits
from trimtab.workflow.steps import (
    AnyStep,
    Ask,
    Call,
    Check,
    Each,
    Extract,
    Person,
    Plan,
    Post,
    Set,
)
from trimtab.workflow.template import fill, text

if TYPE_CHECKING:
    from trimtab.workflow.drive import Drive

Context = Mapping[str, Any]


class Acts:
    """The steps of one item."""

    def __init__(self, drive: "Drive") -> None:
        self._drive = drive

    async def act(self, step: AnyStep, row: Row, context: Context, *, fresh: bool) -> Result:
        """Do a step; not `fresh`: it was begun before, and `row` says how far it came. Raises `Missing`."""
        match step:
            case Set():
                return _set(step, context)
            case Check():
                return _checked(step, context)
            case Extract():
                return extract.extract(step, text(step.text, context), self._drive.bench.personal)
            case Ask():
                return await self._asked(step, row, context, fresh=fresh)
            case Person():
                return await self._person(step, row, context, fresh=fresh)
            case Call() if not step.effect:
                return await self._called(step, row, fill(step.arguments, context))
            case Call() | Post():
                return await self._effect(step, row, context, fresh=fresh)
            case Each():
                return await self._each(step, row, context)
            case Plan():
                return await self._planned(step, row, context, fresh=fresh)

    async def undo(self, step: Call | Post, row: Row, undo: Json, *, fresh: bool) -> Result:
        """Take a step back. What cannot be confirmed, or fails for good, is a person's."""
        if row.state == "waiting" or "filled" not in undo:
            return await self._by_hand(step, row, undo.get("missing", "It could not be confirmed."))
        if fresh:
            row = await self._drive.intend(row)
        elif step.repeat == "person":
            return await self._by_hand(step, row, "The process ended before it was known whether it was taken back.")
        result = await self._tried(step, row, undo["filled"])
        return await self._by_hand(step, row, result.why) if isinstance(result, Fails) else result

    async def _asked(self, step: Ask, row: Row, context: Context, *, fresh: bool) -> Result:
        if row.state == "waiting":
            return await self._waited(step, row)
        if fresh:
            row = await self._drive.settle(row)
        elif ticket := await person.of(self._drive.bench.store, row.key):
            return await self._waited(step, await self._drive.settle(row, state="waiting", ticket=ticket))

        costs: list[int | None] = []

        async def attempt(last: bool) -> Result:
            result = await self._drive.bench.asker.ask(step, context, row.key, last=last)
            costs.append(result.cost)
            if isinstance(result, Fails) and not (last or result.retry or step.otherwise):
                return await attempt(True)
            return result

        result = await effect.tried(attempt, step.retry, lambda fails: fails.retry)
        result = msgspec.structs.replace(result, cost=total(costs))
        if isinstance(result, Waits):
            await self._drive.settle(row, state="waiting", ticket=result.ticket, cost=result.cost)
        return result

    async def _waited(self, step: Ask, row: Row) -> Result:
        """What a person decided on an answer."""
        by = await person.decided(self._drive.bench.store, row.ticket)
        if by.state == "pending":
            return Waits(ticket=row.ticket, why=by.why)
        if by.state == "approved":
            return msgspec.structs.replace(ask.released(step, by), cost=row.cost)
        code = "denied" if by.state == "denied" else "ticket_expired"
        return Fails(code=code, why=by.why or "A person said no.", cost=row.cost)

    async def _person(self, step: Person, row: Row, context: Context, *, fresh: bool) -> Result:
        if fresh:
            row = await self._drive.settle(row)
        say, proposed, why = text(step.ask, context), fill(step.answer, context), f"The step {step.name!r} asks."
        while True:
            result = await self._drive.decided(row, say, proposed, code="flow_step", why=why, expires=step.expires)
            if not isinstance(result, Done) or step.schema is None:
                return result
            value, wrong = fits.read(result.output["text"], step.schema)
            if not wrong:
                return Done(output={**result.output, "json": value})
            why, proposed = f"What was released does not fit: {wrong}.", result.output["text"]
            row = await self._drive.settle(row, state="begun", ticket="", key=f"{row.key}.again")

    async def _called(self, step: Call, row: Row, arguments: Json) -> Result:
        """A call that is no side effect."""

        async def attempt(_: bool) -> Result:
            return await effect.call(step, self._drive.bench.defined.functions[step.function], arguments, row.key)

        return await effect.tried(attempt, step.retry, lambda fails: fails.retry)

    async def _effect(self, step: Call | Post, row: Row, context: Context, *, fresh: bool) -> Result:
        """The intent is on disk before it happens; an intent without an outcome is not simply done again."""
        if row.state == "waiting":
            return await self._confirmed(step, row, "")
        filled = fill(step.arguments if isinstance(step, Call) else step.body, context)
        if fresh:
            if held := await self._drive.released():
                return held
            row = await self._drive.intend(row)
        elif step.repeat == "person":
            return await self._confirmed(step, row, "The process ended before it was known whether this happened.")
        result = await self._tried(step, row, filled)
        if isinstance(result, Fails) and result.unknown:
            return await self._confirmed(step, row, result.why)
        return result

    async def _tried(self, step: Call | Post, row: Row, filled: Any) -> Result:
        bench = self._drive.bench

        async def attempt(_: bool) -> Result:
            if isinstance(step, Call):
                return await effect.call(step, bench.defined.functions[step.function], filled, row.key)
            token = bench.secret(step.key_env) or "" if step.key_env else ""
            return await effect.post(step, filled, row.key, token, bench.networks)

        safe = step.repeat == "same_key"
        return await effect.tried(attempt, step.retry, lambda fails: fails.retry and (safe or not fails.unknown))

    async def _confirmed(self, step: Call | Post, row: Row, why: str) -> Result:
        """A person says whether a side effect happened: yes is its outcome, no is that it did not."""
        what = step.function if isinstance(step, Call) else step.url
        say = f"Did this happen? {step.name}: {what}, key {row.key}. {why}\nApprove: yes. Deny: no, the item fails."
        result = await self._drive.decided(row, say, "yes", code="effect_unknown", why=why or "It is not known.")
        if isinstance(result, Done):
            return Done(output={"confirmed_by": result.output["decided_by"], "said": result.output["text"]})
        return result

    async def _by_hand(self, step: Call | Post, row: Row, why: str) -> Result:
        """A person takes back what the flow could not."""
        what = step.function if isinstance(step, Call) else step.url
        say = f"Take this back by hand: {step.name}: {what}, key {row.key}. {why}\nApprove: it is. Deny: it stays done."
        return await self._drive.decided(row, say, "yes", code="undo_unknown", why=why)

    async def _each(self, step: Each, row: Row, context: Context) -> Result:
        over = fill(step.over, context)
        if not isinstance(over, list):
            return Fails(code="not_a_list", why=f"{step.over} is {type(over).__name__}, not a list.")
        if len(over) > step.most:
            return Fails(code="too_many", why=f"{step.over} has {len(over)} elements, more than {step.most}.")
        gate = asyncio.Semaphore(step.at_once)

        async def one(index: int, element: Any) -> Result:
            async with gate:
                inner = {**context, "item": element, "index": index}
                result = await self._drive.walk(step.steps, f"{row.scope}{step.name}.{row.n}.{index}.", inner)
                return self._given(step, step.steps, result)

        found = await asyncio.gather(*(one(i, each) for i, each in enumerate(over)), return_exceptions=True)
        return _together(found)

    async def _planned(self, step: Plan, row: Row, context: Context, *, fresh: bool) -> Result:
        """The plan is on disk before its first step."""
        if not (plan := row.output):
            result = await self._asked(planned.asking(step), row, context, fresh=fresh)
            if not isinstance(result, Done):
                return result
            chosen, why = planned.read(step, result.output["json"])
            if why:
                return Fails(code="bad_plan", why=why, cost=result.cost)
            plan = {"steps": chosen, "impact": result.output.get("impact", ""), "cost": result.cost}
            held = await self._drive.settle(row, state="begun", output=plan, ticket="")
            row = msgspec.structs.replace(row, output=held.output)
        given: list[Any] = []
        for index, chosen in enumerate(plan["steps"]):
            one = next(one for one in step.steps if one.name == chosen["step"])
            before = {one["step"]: value for one, value in zip(plan["steps"], given, strict=False)}
            inner = {**context, **before, "item": {"say": chosen["say"]}, "index": index}
            scope = f"{row.scope}{step.name}.{row.n}.{index}."
            result = await self._drive.walk((one,), scope, inner)
            if not isinstance(result, Done):
                return result
            given.append(result.output[one.name])
        return Done(output={**plan, "all": given}, cost=plan["cost"])

    def _given(self, step: Each, steps: tuple[AnyStep, ...], result: Result) -> Result:
        """What one element gives: `result` filled, else what its steps gave."""
        if not isinstance(result, Done):
            return result
        own = {one.name: result.output[one.name] for one in steps if one.name in result.output}
        return Done(output=own if step.result is None else fill(step.result, result.output))


def _together(found: list[Any]) -> Result:
    """What a fan-out gives once each element is at its end, fails or waits."""
    for one in found:
        if isinstance(one, BaseException):
            raise one
    for kind in (Waits, Fails):
        if first := next((one for one in found if isinstance(one, kind)), None):
            return first
    return Done(output={"all": [one.output for one in found]})


def _set(step: Set, context: Context) -> Result:
    case = next((case for case in step.cases if holds(case.when, context)), None)
    return Done(output={**fill(step.values, context), **(fill(case.values, context) if case else {})})


def _checked(step: Check, context: Context) -> Result:
    value = fill(step.value, context)
    if step.schema is not None and (why := fits.mismatch(step.schema, value)):
        return Fails(code="schema_mismatch", why=why)
    for rule in step.rules:
        if not holds((rule,), {**context, step.name: value}):
            return Fails(code="rule_broken", why=f"It must hold that {condition.said(rule)}.")
    return Done(output=value)
