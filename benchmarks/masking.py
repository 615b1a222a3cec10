"""Random texts out through the mask and back: what leaves holds no value, what comes back is the same bytes.

    python benchmarks/masking.py [--texts 100000] [--seed 1] [--out benchmarks/results/masking.json]

Each text goes out as a message and as a string in a tool call's arguments, and the model says both back in a stream
cut at random places, with placeholders in it that it made up. Values are found by the `pii` guard and, in the place of
an encoder's names, by a list of hard ones (quotes, backslashes, line ends, other scripts). Exits with 1 at the first
text that does not come back, and prints it.
"""

import argparse
import asyncio
import json
import platform
import random
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from trimtab import testing
from trimtab.answer import masked
from trimtab.guard import pii
from trimtab.types import Answer, Delta, Evidence, Json, Request, Span

RESULT = Path(__file__).parent / "results" / "masking.json"
NAMES = (
    'Ann "Nee" \\ O\'Hara',
    "สมชาย\nใจดี",
    "Zoë\tÅström",
    "李小龍",
    "محمد علي",
    "[Jane]",
    "{Tom}",
    "\\u0041nna",
    "🦀 Crab",
)
LETTERS = (
    "abc XYZ 019 .,;:!?-_@/\\\"'{}[]()<>\n\t", "ßéñøđ ๐๑ไทย 漢字 русский العربية", "\u200b\u202e\u0301\u00ad",
    "🧑\u200d🚀🦀\U000e0041", "\x00\x1f\x7f\u2028",
)  # fmt: skip
TRAPS = ("[EMAIL-1]", "[PERSON-2", "[", "]", "[[PHONE-1]]", "\\u005bEMAIL-1]", '"', "\\", "[CARD-99]", "[email-1]")


class Echo:
    """Says back, as a stream cut at random, the message and the arguments it was sent; keeps what that was."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self.sent = rng, ("", "")

    async def answer(self, request: Request, evidence: Evidence, sink: Any) -> Answer:
        del evidence
        arguments = request.messages[0]["tool_calls"][0]["function"]["arguments"]
        text = request.messages[1]["content"]
        self.sent = text, arguments
        for piece in self._cut(text):
            await sink.emit(Delta(text=piece))
        for piece in self._cut(arguments):
            await sink.emit(Delta(extra={"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}))
        return Answer(text=text, model="echo", tool_calls=(_call(arguments),))

    def _cut(self, text: str) -> list[str]:
        edges = sorted({0, len(text), *(self._rng.randint(0, len(text)) for _ in range(self._rng.randint(0, 12)))})
        return [text[a:b] for a, b in pairwise(edges)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    began = time.perf_counter()
    values = asyncio.run(_all(asked.texts, asked.seed))
    took = time.perf_counter() - began
    print(f"{asked.texts} texts with {values} values came back as they were: {took / asked.texts * 1e3:.2f} ms each")
    found = {"texts": asked.texts, "seed": asked.seed, "values": values, "came_back": asked.texts}
    machine = {"cpu": platform.machine(), "python": sys.version.split()[0]}
    asked.out.write_text(
        json.dumps({**found, "ms": round(took / asked.texts * 1e3, 3), "machine": machine}, indent=1) + "\n"
    )
    return 0


async def _all(count: int, seed: int) -> int:
    """How many values went out and came back. Exits at the first text that did not."""
    rng = random.Random(seed)
    tools = testing.tools(Path("unused"), names=None)
    values = 0
    for done in range(count):
        text, held = _text(rng)
        values += len(held)
        if wrong := await _wrong(text, held, tools, rng):
            sys.exit(f"text {done} of seed {seed}: {wrong}\n{text!r}")
        if sys.stderr.isatty() and done % 5000 == 0:
            print(f"{done} of {count}", file=sys.stderr)
    return values


async def _wrong(text: str, held: Sequence[str], tools: Any, rng: random.Random) -> str:
    """What did not come back, or what left."""
    arguments = json.dumps({"a": text, "b": [text[::2], {"c": text}]}, ensure_ascii=rng.random() < 0.5)
    inner, sink = Echo(rng), testing.Hears()
    model = masked.build(masked.Options(), msgspec.structs.replace(tools, inner=inner, personal=personal))
    messages = ({"role": "assistant", "tool_calls": [_call(arguments)]}, {"role": "user", "content": text})
    said = await model.answer(testing.ask(messages=messages), Evidence(), sink)
    assert isinstance(said, Answer)
    streamed = "".join(call["function"]["arguments"] for d in sink.deltas for call in d.extra.get("tool_calls", ()))
    whole = said.tool_calls[0]["function"]["arguments"]
    if not (said.text == sink.text == text):
        return "the text came back otherwise"
    if not (streamed == whole and json.loads(whole) == json.loads(arguments)):
        return "the arguments came back otherwise"
    left = (inner.sent[0], *_strings(json.loads(inner.sent[1])))
    return next((f"{value!r} left" for value in held for one in left if value in one), "")


def personal(text: str) -> tuple[Span, ...]:
    known = [(at, name) for name in NAMES if name in text for at in range(len(text)) if text.startswith(name, at)]
    return (*(Span(kind="PERSON", start=at, end=at + len(name)) for at, name in known), *pii.find(text))


def _text(rng: random.Random) -> tuple[str, list[str]]:
    """A random text, and the values in it that must not leave."""
    held = [_value(rng) for _ in range(rng.randint(0, 4))]
    filler = [
        "".join(rng.choice(rng.choice(LETTERS)) for _ in range(rng.randint(0, 14))) for _ in range(rng.randint(0, 4))
    ]
    parts = [*(f" {value} " for value in held), *filler, *rng.sample(TRAPS, rng.randint(0, 3))]
    rng.shuffle(parts)
    return "".join(parts), held


def _value(rng: random.Random) -> str:
    digits = "".join(rng.choice("0123456789") for _ in range(9))
    return rng.choice((
        f"jane.{digits[:4]}@example.com", f"+44 20 7946 {digits[:4]}", f"(201) 555-{digits[:4]}", rng.choice(NAMES),
        "4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32", f"16.{int(digits[:2])}.11.14", "853-37-1694",
    ))  # fmt: skip


def _call(arguments: str) -> Json:
    return {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inside for text in _strings(item)]


if __name__ == "__main__":
    sys.exit(main())
