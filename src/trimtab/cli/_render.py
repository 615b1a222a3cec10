"""How a reply and a trace look to a person."""

import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from trimtab import money
from trimtab.cli._reply import Reply

if TYPE_CHECKING:
    from rich.tree import Tree

JOINERS = "\n\t\u200c\u200d"
"""Control characters that belong to ordinary text: line ends, tabs, and the joiners of scripts and emoji."""


def line(reply: Reply) -> str:
    """Who answered, how sure, what it cost and what the large model would have, how long, which trace."""
    who = {"refused": f"refused by {reply.answered_by}", "pending": "waits for a person"}.get(
        reply.outcome, reply.answered_by + (" (recorded)" if reply.recorded else "")
    )
    parts = [who]
    if reply.outcome == "answer":
        parts += [sure(reply.confidence), f"cost {usd(reply.cost_usd)}", f"large model {usd(reply.baseline_usd)}"]
    return " · ".join([*parts, f"{reply.ms:.0f} ms", reply.trace])


def sure(confidence: float | None) -> str:
    return "not judged" if confidence is None else f"{confidence:.0%} sure"


def usd(amount: str | None) -> str:
    """A decimal string of USD as a person reads it."""
    return money.show(None if amount is None else int(Decimal(amount).scaleb(9)))


def citation(cited: dict[str, Any]) -> str:
    return f"  [{cited['source']}:{cited['start']}-{cited['end']}] {shortened(cited['quote'], 100)}"


def visible(text: str) -> str:
    """`text` with what a terminal would act on or hide written out, so that it shows itself whole to its reader."""
    return "".join(c if c in JOINERS or unicodedata.category(c) not in ("Cc", "Cf") else ascii(c)[1:-1] for c in text)


def shortened(text: str, width: int) -> str:
    flat = visible(" ".join(text.split()))
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def tree(trace: dict[str, Any]) -> "Tree":
    """A trace as a tree: its outcome, then every step in order with who, how long, what it cost and why."""
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text(_head(trace)))
    if question := trace.get("question"):
        root.add(Text(f"question: {shortened(question, 100)}"))
    for step in trace["steps"]:
        branch = root.add(Text(_step(step), style="" if step["ok"] else "yellow"))
        if why := step.get("why"):
            branch.add(Text(visible(why), style="dim"))
        if step["stage"] == "route" and trace.get("decision"):
            _decision(branch, trace["decision"])
    if why := trace.get("why"):
        root.add(Text(f"{trace.get('code', '')}: {visible(why)}"))
    return root


def _head(trace: dict[str, Any]) -> str:
    who = f" by {trace['answered_by']}" if trace.get("answered_by") else ""
    large = f"  large model {usd(trace['baseline_usd'])}" if trace["outcome"] == "answer" else ""
    return f"{trace['id']}  {trace['outcome']}{who}  {trace['ms']:.1f} ms  cost {usd(trace['cost_usd'])}{large}"


def _decision(branch: "Tree", decision: dict[str, Any]) -> None:
    """What the router said beside the ladder: why, how grave, and who was left out."""
    from rich.text import Text

    if decision["reasons"]:
        branch.add(Text(f"reasons: {', '.join(decision['reasons'])}", style="dim"))
    if decision["impact"] != "low":
        branch.add(Text(f"impact: {decision['impact']}", style="dim"))
    for name, reason in decision["left_out"].items():
        branch.add(Text(f"left out {name}: {reason}", style="dim"))


def _step(step: dict[str, Any]) -> str:
    mark = "✓" if step["ok"] else "✗"
    parts = [mark, f"{step['stage']:<8}", step.get("by", "")]
    if code := step.get("code"):
        parts.append(f"({code})")
    if step.get("score") is not None:
        parts.append(f"score {step['score']:.2f}")
    cost = [] if step["cost_nano"] == 0 else [f"cost {usd(step['cost_usd'])}"]
    return " ".join([*parts, f"{step['ms']:.2f} ms", *cost])
