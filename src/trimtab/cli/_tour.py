"""The tour's requests: every probe over HTTP, one after the other, and what came of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab import money
from trimtab.cli import _render, _service
from trimtab.cli._reply import Reply
from trimtab.errors import TrimtabError

if TYPE_CHECKING:
    from trimtab.cli._probes import Probe
    from trimtab.cli._service import Service
    from trimtab.settings import Settings


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """One probe and its decision; without a reply, `code` is the error's."""

    ask: str
    expected: tuple[str, ...]
    reply: Reply | None
    code: str = ""

    @property
    def decider(self) -> str:
        return self.reply.decider if self.reply else f"error: {self.code}"

    @property
    def ok(self) -> bool:
        return self.decider in self.expected

    @property
    def trace(self) -> str:
        return self.reply.trace if self.reply else ""

    @property
    def ms(self) -> float:
        return self.reply.ms if self.reply else 0.0

    @property
    def sure(self) -> str:
        known = self.reply is not None and self.reply.confidence is not None
        return f"{self.reply.confidence:.0%}" if self.reply and known else "-"

    @property
    def cost(self) -> str:
        return _render.usd(self.reply.cost_usd) if self.reply else "unknown"

    @property
    def baseline(self) -> str:
        return _render.usd(self.reply.baseline_usd) if self.reply and self.reply.outcome == "answer" else "-"

    def shape(self) -> dict[str, Any]:
        """The JSON of `trimtab demo --json`."""
        reply = msgspec.to_builtins(self.reply) if self.reply else {"error": self.code}
        return {"ask": self.ask, "expected": list(self.expected), "decider": self.decider, "ok": self.ok, **reply}


async def take(settings: "Settings", url: str, probes: "Sequence[Probe]") -> list[Stop]:
    """Send the probes to the gateway at `url`, in order: the cache must see the first before the second."""
    async with _service.gateway(settings, url) as gateway:
        return [await _stop(gateway, probe) for probe in probes]


def totals(stops: Sequence[Stop]) -> dict[str, Any]:
    """Sums over what is known: `compared` answers have a cost and a baseline; `unknown` counts requests without a cost.

    `saved_usd` is the compared answers' baseline less the cost of everything.
    """
    replies = [stop.reply for stop in stops if stop.reply]
    answered = [reply for reply in replies if reply.outcome == "answer"]
    compared = [reply for reply in answered if None not in (reply.cost_usd, reply.baseline_usd)]
    cost = sum(money.from_usd(reply.cost_usd) for reply in replies if reply.cost_usd is not None)
    baseline = sum(money.from_usd(reply.baseline_usd or 0) for reply in compared)
    return {
        "requests": len(stops), "right": sum(stop.ok for stop in stops), "answered": len(answered),
        "compared": len(compared), "unknown": sum(reply.cost_usd is None for reply in replies),
        "cost_usd": money.usd(cost), "baseline_usd": money.usd(baseline), "saved_usd": money.usd(baseline - cost),
    }  # fmt: skip


async def _stop(gateway: "Service", probe: "Probe") -> Stop:
    expected = probe.expect.deciders
    try:
        asked = ({"role": "user", "content": probe.ask},)
        reply = await gateway.ask(asked, params=probe.params, cache=probe.cache)
    except TrimtabError as error:
        return Stop(ask=probe.ask, expected=expected, reply=None, code=error.code)
    return Stop(ask=probe.ask, expected=expected, reply=reply)
