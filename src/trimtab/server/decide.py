"""POST /v1/decide: typed decisions about a state (yes or no, a choice, a score), with probabilities, from one pass.

The shape is System One's, which llama.cpp's server and hosted decision models speak at `/v1/systemone`: a `state`, and
`questions` by name, each of a type: `noul` (yes or no), `choice` (one of `criteria`, an object of options and what they
mean) or `score` (a level of `criteria`, a list from low to high). What decides is told by the question's name, or by
its instructions where they are no more than a name: a head of the encoder, a skill, or what exam questions taught
(`odds/about.py`). A choice that names none, or gives options to the last, is decided by meaning: how near each
description lies. No other question can be answered: it is refused, never guessed.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trimtab.answer import skill as skills
from trimtab.errors import MalformedError, NotFoundError, TooLargeError
from trimtab.server import admission
from trimtab.server.embeddings import MODEL
from trimtab.server.limits import attended
from trimtab.server.place import Place, body, json, place
from trimtab.types import Json

if TYPE_CHECKING:
    from trimtab.encode.encoder import Encoder
    from trimtab.encode.head import Head
    from trimtab.odds.about import About

ABOUT, HARD = ("subject", "field"), "difficulty"
HEADS = ("injection", "instruction", "toxicity", HARD)
TYPES = ("noul", "choice", "score")
QUESTIONS, OPTIONS, CHARACTERS = 64, 255, 100_000
"""Caps of one call: questions, options of a choice, and the characters of the state and of all options."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One decision that is wanted; `decider` is a head or a skill by name, or empty where meaning decides."""

    type: str
    decider: str
    options: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


async def create(request: Request) -> Response:
    """Decide in the encoder's own name. Raises `RequestError`s."""
    given = await body(request)
    if (name := given.get("model", "auto")) not in ("auto", MODEL):
        raise NotFoundError(
            f"There is no decision model {name!r}.", f"Ask for {MODEL!r} or 'auto'.", param="model",
            code="model_not_found",
        )  # fmt: skip
    return await _decided(request, given)


async def systemone(request: Request) -> Response:
    """The same for System One's clients: whichever model they name, this one answers, as llama.cpp's server does."""
    return await _decided(request, await body(request))


async def _decided(request: Request, given: Json) -> Response:
    here = place(request)
    if not here.encoder_of:
        raise NotFoundError("This gateway has no encoder.", "Start it with `trimtab serve`.")
    known = folders(here)
    state, questions = text(given.get("state")), asked(given.get("questions"), known)
    options = [said for question in questions.values() for said in question.said]
    if len(state) + sum(map(len, options)) > CHARACTERS:
        raise TooLargeError(
            "The state and the options are too long.", f"Send at most {CHARACTERS:,} characters.", param="state"
        )
    encoder = here.encoder_of()
    tokens = sum(encoder.tokens(part) for part in (state, *options))
    await admission.take(1, tokens)
    answers = await attended(request.receive, _answers(encoder, known, state, questions))
    usage = {"input_tokens": tokens, "output_tokens": 0}
    return json({"model": MODEL, "answers": answers, "usage": usage})


def folders(here: Place) -> dict[str, Path]:
    """Skills by name: those that are shipped, and the recipe's by the names of their rungs."""
    found = {path.parent.name: path.parent for path in skills.SHIPPED.glob("*/manifest.json")}
    for part in here.settings.models:
        if part.kind == "skill":
            found[part.name] = skills.folder(part.options.get("skill", "banking77"), here.settings.folder)
    return found


def text(state: Any) -> str:
    """The state as one text: a list's parts and an object's fields each on a line. Raises `MalformedError`."""
    found = "\n".join(_lines(state)) if state is not None and not isinstance(state, (bool, int, float)) else ""
    if not found.strip():
        raise _wrong("state", "a text, or an object or a list that holds texts")
    return found


def _lines(value: Any, name: str = "") -> list[str]:
    if isinstance(value, Mapping):
        return [line for key, part in value.items() for line in _lines(part, str(key))]
    if isinstance(value, list):
        return [line for part in value for line in _lines(part, name)]
    written = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return [f"{name}: {written}" if name else written]


def asked(given: Any, known: Mapping[str, Path]) -> dict[str, Question]:
    """The questions of a body. Raises `MalformedError`s that name the question."""
    if not isinstance(given, Mapping) or not 0 < len(given) <= QUESTIONS:
        raise _wrong("questions", f"an object of 1 to {QUESTIONS} questions by name")
    return {name: _question(f"questions.{name}", name, value, known) for name, value in given.items()}


def _question(param: str, name: str, given: Any, known: Mapping[str, Path]) -> Question:
    if not isinstance(given, Mapping) or given.get("type") not in TYPES:
        raise _wrong(f"{param}.type", f"one of {', '.join(TYPES)}")
    kind, criteria = given["type"], given.get("criteria")
    names: Sequence[str] = HEADS if kind != "choice" else (*known, *(ABOUT if criteria is None else ()))
    decider = next((one for one in names if one in (name, given.get("instructions"))), "")
    if kind == "choice":
        return _choice(param, decider, criteria)
    if not decider:
        raise MalformedError(
            f"{param} is no question that this model was taught.",
            f"Name it, or instruct it with no more than, one of {', '.join(HEADS)}; a choice takes any options.",
            param=param, code="unknown_question",
        )  # fmt: skip
    return Question(type=kind, decider=decider, options=_levels(param, criteria) if kind == "score" else ())


def _levels(param: str, criteria: Any) -> tuple[str, ...]:
    if not isinstance(criteria, list) or len(criteria) != 2 or not all(isinstance(level, str) for level in criteria):
        raise _wrong(f"{param}.criteria", "a list of two levels, low and high: what a head tells is one or the other")
    return tuple(criteria)


def _choice(param: str, decider: str, criteria: Any) -> Question:
    if decider and criteria is None:
        return Question(type="choice", decider=decider)
    if not isinstance(criteria, Mapping) or not 2 <= len(criteria) <= OPTIONS:
        raise _wrong(f"{param}.criteria", f"an object of 2 to {OPTIONS} options, each with a description or null")
    if not all(isinstance(said, str | None) for said in criteria.values()):
        raise _wrong(f"{param}.criteria", "an object whose descriptions are texts or null")
    said = tuple((value or key).replace("_", " ") for key, value in criteria.items())
    return Question(type="choice", decider=decider, options=tuple(criteria), said=() if decider else said)


async def _answers(
    encoder: "Encoder", known: Mapping[str, Path], state: str, questions: Mapping[str, Question]
) -> dict[str, Json]:
    """The encoder reads the state once for all questions of a kind, and the options beside it."""
    heads = {
        question.decider: await asyncio.to_thread(_head, known[question.decider])
        for question in questions.values() if question.decider in known
    }  # fmt: skip
    for name, question in questions.items():
        if head := heads.get(question.decider):
            _check(f"questions.{name}.criteria", question, head)
    said = [option for question in questions.values() for option in question.said]
    scored = any(question.type != "choice" and question.decider != HARD for question in questions.values())
    from trimtab.odds.about import about

    deciders = {question.decider for question in questions.values()} - set(heads)
    reading, views, gist = await asyncio.gather(
        encoder.read([state]) if scored else _nothing(), encoder.views([state, *said]),
        encoder.gist([state]) if deciders & {*ABOUT, HARD} else _nothing(),
    )  # fmt: skip
    embedding, *options = views[:, : encoder.dims]
    told = await asyncio.to_thread(about, gist[0], state) if len(gist) else None
    left, answers = iter(options), {}
    for name, question in questions.items():
        if told and question.decider in deciders & {*ABOUT, HARD}:
            answers[name] = _of_question(question, told)
        elif question.type != "choice":
            answers[name] = _of_head(question, getattr(reading[0], question.decider))
        elif head := heads.get(question.decider):
            answers[name] = _of_skill(question, head, views[:1])
        else:
            answers[name] = _of_meaning(question, embedding, [next(left) for _ in question.said])
    return answers


async def _nothing() -> list[Any]:
    return []


def _of_head(question: Question, p: float) -> Json:
    by = {"by": f"head:{question.decider}"}
    if question.type == "noul":
        return {"type": "noul", "noul": p, **by}
    legend = {str(level): said for level, said in enumerate(question.options)}
    given = {"0": 1 - p, "1": p}
    return {"type": "score", "score": p, "legend": legend, "probabilities": given, "confidence": _sure(given), **by}


def _of_question(question: Question, told: "About") -> Json:
    if question.decider == HARD:
        return _of_head(question, told.difficulty)
    return {**_chosen(getattr(told, question.decider)), "by": f"head:{question.decider}"}


def _of_skill(question: Question, head: "Head", views: Any) -> Json:
    """The skill's own probabilities, over the options given; `outside` is that of none of all its labels."""
    given = dict(zip(head.labels, head.probabilities(views)[0].tolist(), strict=True))
    kept = {option: given[option] for option in question.options or head.labels}
    outside = float(head.outside(views)[0]) if head.scope else None
    return {**_chosen(kept), "outside": outside, "by": f"skill:{question.decider}"}


def _of_meaning(question: Question, embedding: Any, options: Sequence[Any]) -> Json:
    import numpy as np

    from trimtab.encode.meaning import probabilities

    found = probabilities(embedding, np.stack(options)).tolist()
    return {**_chosen(dict(zip(question.options, found, strict=True))), "by": "meaning"}


def _chosen(given: dict[str, float]) -> Json:
    total = sum(given.values()) or 1.0
    shares = {option: p / total for option, p in given.items()}
    best = max(shares, key=lambda option: shares[option])
    return {"type": "choice", "choice": best, "probabilities": shares, "confidence": _sure(shares)}


def _sure(given: Mapping[str, float]) -> float:
    """1 where one option has all of the probability, 0 where all have the same: 1 - entropy / log k."""
    if len(given) < 2:
        return 1.0
    entropy = -sum(p * math.log(p) for p in given.values() if p > 0)
    return min(1.0, max(0.0, 1 - entropy / math.log(len(given))))


_LOADED: dict[Path, "Head"] = {}


def _head(folder: Path) -> "Head":
    """A skill's head, checked and read once. Raises `ConfigError`."""
    from trimtab.encode.head import Head

    return _LOADED.setdefault(folder, _LOADED.get(folder) or Head.load(folder))


def _check(param: str, question: Question, head: "Head") -> None:
    if unknown := [option for option in question.options if option not in head.labels]:
        shown = ", ".join(map(repr, unknown[:5]))
        raise MalformedError(
            f"{param} has {shown}, which {question.decider} does not know.",
            f"Leave criteria out, or use its labels, of which {head.labels[0]!r} is one.", param=param,
        )  # fmt: skip


def _wrong(param: str, must: str) -> MalformedError:
    return MalformedError(f"{param} is missing or wrong.", f"It must be {must}.", param=param)
