"""A skill: knows a fixed set of intents by a head on the house encoder, and has a written reply for each.

A skill is a folder: `head.npz`, `labels.json`, the `manifest.json` that seals both, and `replies.toml`, which is the
operator's to edit. It answers only what it knows: a question from outside, or one it is not sure of, it passes on.
"""

import asyncio
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab import texts
from trimtab.errors import ConfigError
from trimtab.money import estimate
from trimtab.ports import Model, Sink, Tools
from trimtab.types import FREE, Answer, Evidence, Impact, ModelSpec, Request, Usage, Verdict

if TYPE_CHECKING:
    from trimtab.encode.head import Head

SHIPPED = Path(__file__).parent / "skills"
MAX_QUESTION = 600  # characters; a longer text has more than one intent in it


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`skill` is the name of a shipped one or a folder (relative paths start from the recipe's); `threshold` the least
    probability that it answers at; `outside` the greatest P(outside), None for the one that the head was made with;
    `replies` another file of replies.
    """

    skill: str = "banking77"
    threshold: float = 0.6
    outside: float | None = None
    replies: str | None = None


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said to an intent; where a `person` must act, the answer waits for one."""

    reply: str
    person: bool = False


def spec(options: Options) -> ModelSpec:
    """In process and free; takes one plain question."""
    del options  # the same for every skill
    return ModelSpec(where="local", price=FREE, abilities=frozenset({"question"}))


def build(options: Options, tools: Tools) -> Model:
    """Raises `ConfigError` for a folder that does not exist; one that is broken raises it at start."""
    if not 0 <= options.threshold <= 1 or not 0 <= (options.outside or 0) <= 1:
        raise ConfigError(f"{tools.name}: threshold and outside are probabilities.", "Give numbers from 0 to 1.")
    skill = Skill(options, tools, folder(options.skill, tools.recipe))
    tools.starting(skill.start)
    return skill


def folder(name: str, recipe: Path) -> Path:
    """The folder of a skill: a shipped one by name, else a path. Raises `ConfigError` that lists the shipped ones."""
    shipped = SHIPPED / name
    found = shipped if Path(name).name == name and shipped.is_dir() else recipe / name
    if not (found / "manifest.json").is_file():
        names = ", ".join(sorted(path.parent.name for path in SHIPPED.glob("*/manifest.json"))) or "none"
        raise ConfigError(f"There is no skill {name!r} (no {found / 'manifest.json'}).", f"Shipped are: {names}.")
    return found


class Skill:
    """The rung."""

    def __init__(self, options: Options, tools: Tools, folder: Path) -> None:
        self._options, self._tools, self._folder = options, tools, folder
        self._replies: dict[str, Reply] = {}
        self._head: Head | None = None
        self._limit = 1.0

    async def start(self) -> None:
        """Load and check the head and the replies, off the event loop. Raises `ConfigError`."""
        await asyncio.to_thread(self._load)

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        question = texts.question(request).strip()
        if not question or len(question) > MAX_QUESTION:
            return self._pass("not_a_question", f"The skill takes one question of up to {MAX_QUESTION} characters.")
        label, sure, outside = await self._judged(question)
        if outside > self._limit:
            return self._pass("out_of_scope", f"Not one of {self._folder.name}'s subjects.", 1 - outside)
        if sure < self._options.threshold:
            return self._pass("unsure", f"Nearest is {label}, which is not near enough.", sure)
        return self._said(question, label, sure)

    async def _judged(self, question: str) -> tuple[str, float, float]:
        """The likeliest intent, its calibrated probability, and P(outside)."""
        head = await self._loaded()
        views = await self._tools.encoder().views([question])
        probabilities = head.probabilities(views)[0]
        best = int(probabilities.argmax())
        outside = float(head.outside(views)[0]) if head.scope else 0.0
        return head.labels[best], float(probabilities[best]), outside

    async def _loaded(self) -> "Head":
        if self._head is None:
            await self.start()
        assert self._head  # noqa: S101 - start sets it or raises
        return self._head

    def _said(self, question: str, label: str, sure: float) -> Answer:
        reply = self._replies[label]
        return Answer(
            text=reply.reply,
            model=self._tools.name,
            usage=Usage(prompt=estimate(question), completion=estimate(reply.reply), estimated=True),
            confidence=sure,
            label=label,
            impact=Impact.HIGH if reply.person else Impact.LOW,
        )

    def _pass(self, code: str, why: str, score: float | None = None) -> Verdict:
        return Verdict(ok=False, by=self._tools.name, code=code, why=why, score=score)

    def _load(self) -> None:
        from trimtab.encode.head import Head

        head = Head.load(self._folder)
        given = self._options.replies
        self._replies = replies(self._tools.recipe / given if given else self._folder / "replies.toml", head.labels)
        default = head.scope.limit if head.scope else 1.0
        self._limit = default if self._options.outside is None else self._options.outside
        self._tools.encoder()  # loaded here, so that the first question need not wait for it
        self._head = head


def replies(file: Path, labels: tuple[str, ...]) -> dict[str, Reply]:
    """The replies by intent. Raises `ConfigError` where the file is wrong or does not have exactly one for each."""
    try:
        found = msgspec.convert(tomllib.loads(file.read_text("utf-8")), dict[str, Reply])
    except (OSError, ValueError) as error:
        raise ConfigError(f"The replies {file} cannot be read: {error}.", "Each intent needs reply = '...'.") from error
    missing, unknown = sorted(set(labels) - set(found)), sorted(set(found) - set(labels))
    empty = sorted(label for label, reply in found.items() if not reply.reply.strip())
    for fault, names in (("no reply for", missing), ("replies for unknown", unknown), ("empty replies for", empty)):
        if names:
            raise ConfigError(f"{file} has {fault} {', '.join(names)}.", "It needs one reply for each label.")
    return found
