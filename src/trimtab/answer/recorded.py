"""Replays what real models once wrote, question by question, and always says so: for demos and offline evaluation.

The file is JSONL or JSONL.gz; a line has `question`, `answer` and `model`, and may have `ok`, `source` and `usage`
(`prompt`, `completion`). Lines of other models than `model` are skipped where one is named.
"""

import gzip
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from trimtab import texts
from trimtab.errors import ConfigError
from trimtab.money import estimate
from trimtab.ports import Sink, Tools
from trimtab.types import Answer, Delta, Evidence, ModelSpec, Request, Usage, Verdict

PIECE = re.compile(r"\S+\s*|\s+")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`path` of the record, relative to the recipe; `model` picks one model of a record that has several."""

    path: str
    model: str | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded outcome; `ok` is whether it was judged right, None where nobody judged it."""

    question: str
    answer: str
    model: str
    ok: bool | None = None
    source: str = ""
    usage: Usage | None = None


def spec(_: Options) -> ModelSpec:
    """The price is unknown unless the settings say what the recorded model costs."""
    return ModelSpec(where="local", abilities=frozenset({"question", "stream"}), recorded=True)


def build(options: Options, tools: Tools) -> "Replay":
    """Reads the record. Raises `ConfigError` that names the file and the line."""
    path = tools.recipe / options.path
    lines = {key(line.question): line for line in _read(path) if options.model in (None, line.model)}
    if not lines:
        which = f" of {options.model}" if options.model else ""
        raise ConfigError(f"{path} has no recorded answers{which}.", "Name a record, and a model that is in it.")
    return Replay(lines, tools.name)


def key(question: str) -> str:
    """A question less its case, its Unicode form and the amount of white space."""
    return " ".join(unicodedata.normalize("NFKC", question).casefold().split())


class Replay:
    """The rung: an answer for a question it has on record, a pass for any other."""

    def __init__(self, lines: dict[str, Line], name: str) -> None:
        self._lines, self._name = lines, name

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        question = texts.question(request)
        line = self._lines.get(key(question)) if _turns(request) == 1 else None
        if line is None:
            why = f"{self._name} only replays questions it has on record, and this is none of them."
            return Verdict(ok=False, by=self._name, code="not_recorded", why=why)
        usage = line.usage or Usage(prompt=estimate(question), completion=estimate(line.answer), estimated=True)
        sink.spent(usage)
        if sink.live:
            for piece in PIECE.findall(line.answer):
                await sink.emit(Delta(text=piece))
        about = {"recorded": True, "recorded_model": line.model, "recorded_source": line.source}
        return Answer(
            text=line.answer, model=self._name, usage=usage, label=f"recorded: {line.model}",
            body={key: value for key, value in about.items() if value},
        )  # fmt: skip


def _turns(request: Request) -> int:
    """Messages that are not the system's: a question with a history is another question."""
    return sum(message.get("role") not in ("system", "developer") for message in request.messages)


def _read(path: Path) -> Iterator[Line]:
    decode = msgspec.json.Decoder(Line).decode
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if raw.strip():
                    yield _line(decode, raw, path, number)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(
            f"The record {path} cannot be read: {error}.", "Name a JSONL or JSONL.gz file; see `path`."
        ) from error


def _line(decode: Callable[[bytes], Line], raw: bytes, path: Path, number: int) -> Line:
    try:
        return decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}, line {number}: {error}.", "A line is an object with question, answer and model."
        ) from error
