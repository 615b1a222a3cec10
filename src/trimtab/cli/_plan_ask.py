"""The questions of `trimtab plan` at a terminal: the four that decide most first, each with a default."""

from typing import Any

import typer

from trimtab.cli import _out
from trimtab.errors import ConfigError

QUESTIONS = (
    ("where", "Where may it run? device, edge, browser, server, cloud (several with commas)", "server,cloud", str),
    ("requests", "How many requests a month?", 100_000.0, float),
    ("fails", "Which failure matters most? cost, latency, quality, privacy", "cost", str),
    ("escalated", "Which share of the requests is hard, and may go to a large model? 0 to 1", 0.3, float),
    ("prompt", "Tokens of a prompt?", 1000.0, float),
    ("answer", "Tokens of an answer?", 300.0, float),
    ("first_p95", "Seconds to the first token, p95? 0 for no limit", 2.0, float),
    ("budget", "USD a month? 0 for no limit", 0.0, float),
    ("quality", "Percent on MMLU, at least? 0 for any", 60.0, float),
)
OPEN = ("budget",)
"""Constraints for which 0 means none, and is not passed on."""


def asked() -> dict[str, Any]:
    """What the person answered; an answer that cannot be is said and asked for again."""
    found: dict[str, Any] = {}
    for name, text, default, kind in QUESTIONS:
        value = _answer(name, text, default, kind)
        if name not in OPEN or value:
            found[name] = value
    return found


def _answer(name: str, text: str, default: Any, kind: type) -> Any:
    from trimtab.plan import needs

    while True:
        value = typer.prompt(text, default=default, type=kind, err=True)
        if name == "where":
            value = tuple(word.strip() for word in str(value).split(",") if word.strip())
        if name in OPEN and not value:
            return value
        try:
            needs.made({name: value})
        except ConfigError as error:
            _out.say(f"{error.message} {error.fix}")
        else:
            return value
