"""The house encoder: texts in, 384 numbers each out, on one thread of its own so that the event loop never waits.

A text longer than the model's 256-token window is read window by window, cut between sentences where that is possible,
and its embedding is the mean of theirs weighted by their tokens: nothing is cut off. A text with no token (empty, white
space, controls only) has the zero embedding, which is like nothing; every other row has length 1. An embedding does not
depend on what else is in the batch (beyond float rounding).

`read` gives what the heads say: they have two layers of their own over the encoder's first four (`heads.py`), and the
two above those are not run for them. `glance` gives what the words alone say, and which parts are worth reading.
`span` finds an answer: question and passage are read together, by the encoder's first two layers and four of its own.
What was read of late is not read again (`recent.py`).
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from trimtab.encode.heads import Heads, Said
from trimtab.encode.located import Run, runs
from trimtab.encode.pairs import Pair, Word, asked, pairs
from trimtab.encode.reading import SCORES, Glance, Part, Reading, joined
from trimtab.encode.recent import Known, Recent
from trimtab.encode.sealed import opened
from trimtab.encode.session import Session, session
from trimtab.encode.span import Span, SpanHead
from trimtab.encode.tokenizer import WordPiece, words
from trimtab.encode.turns import Floats, Ids, Read, Turns
from trimtab.encode.windows import windows
from trimtab.errors import ConfigError

HOME = Path(__file__).parent / "minilm"
LAYERS = ["lower.onnx", "middle.onnx", "upper.onnx"]
FILES = [*LAYERS, "vocab.txt"]
FIX = "Reinstall trimtab, or make the encoder again with runs/encoder.sh."
HEADS = Path(__file__).parent / "heads"
SPAN = Path(__file__).parent / "span"
OUTPUTS = ["sentence_embedding", "last_hidden_state"]
LOWER, MIDDLE = "lower_state", "middle_state"
Feed: TypeAlias = dict[str, NDArray[np.int64]]
NONE = "This encoder has no heads."
VIEWS = 4
BESIDE = 100
"""Pieces of a window that is read beside a question: what the span head was trained on."""


class Half(list[int]):
    """Ids of a window that is read halfway."""


class Encoder:
    """One small model, loaded once; `load` makes one. Safe to call from several threads and event loops."""

    def __init__(
        self, layers: Sequence[Session], pieces: WordPiece, dims: int, window: int,
        heads: Heads | None = None, span: SpanHead | None = None,
    ) -> None:  # fmt: skip
        self.dims, self.window = dims, window
        self.pieces, self._heads, self._span = pieces, heads, span
        self._lower, self._middle, self._upper = layers
        self._turns, self._recent = Turns(self._pass), Recent()
        self._kinds = {Pair: self._spanned, Run: self._headed, Half: self._halfway, list: self._whole}

    @classmethod
    def load(
        cls, path: Path | None = None, threads: int = 1, heads: Path | None = None, span: Path | None = None
    ) -> "Encoder":
        """Load the encoder in the folder `path` (the shipped one if None) after checking each file's SHA-256.

        `heads` and `span` are the folders of heads that were trained on it: the shipped one's if None, and none for
        another. The span head may be missing; then `spans` is false. `threads` are the CPU threads of one pass. Raises
        `ConfigError` where another file is missing, or one was changed or is no model.
        """
        folder = path or HOME
        facts = opened(folder, FILES, FIX)
        try:
            dims, window = int(facts["dims"]), int(facts["max_tokens"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{folder / 'manifest.json'} must hold the numbers dims, max_tokens.", fix=FIX) from error
        home = heads or (HEADS if path is None else None)
        beside = span or (SPAN if path is None and SPAN.is_dir() else None)
        return cls(
            [session(folder / name, threads, FIX) for name in LAYERS],
            WordPiece.load(folder / "vocab.txt"), dims, window,
            Heads.load(home, threads) if home else None, SpanHead.load(beside, threads) if beside else None,
        )  # fmt: skip

    @property
    def spans(self) -> bool:
        """Whether there is a span head."""
        return self._span is not None

    async def embed(self, texts: Sequence[str]) -> Floats:
        """Embeddings, float32 (n, dims), in the order of `texts`. Concurrent calls share passes of the model.

        A caller that is cancelled takes its unread windows with it. A megabyte of text is some 950 windows
        and takes about 25 s of one core.
        """
        found = await asyncio.wrap_future(self._turns.ask(_listed(texts), self._split, _sentence))
        return self._pooled(found)

    def embed_now(self, texts: Sequence[str]) -> Floats:
        """`embed` for code without an event loop; it blocks."""
        return self._pooled(self._turns.ask(_listed(texts), self._split, _sentence).result())

    async def gist(self, texts: Sequence[str]) -> Floats:
        """Like `embed`, from four of the six layers: the mean of the tokens' states there, a third of the time less.

        It tells kinds of questions apart, and how hard they are, better than an embedding; what is alike, worse.
        """
        return self._pooled(await asyncio.wrap_future(self._turns.ask(_listed(texts), self._begun, lambda _, row: row)))

    def gist_now(self, texts: Sequence[str]) -> Floats:
        """`gist` for code without an event loop; it blocks."""
        return self._pooled(self._turns.ask(_listed(texts), self._begun, lambda _, row: row).result())

    async def views(self, texts: Sequence[str]) -> Floats:
        """What a head of intents sees, float32 (n, VIEWS * dims): the embedding, then three others of unit length.

        Those are the greatest of the token states after the last layer, and their mean and greatest after the middle
        one: a mean of all tokens forgets what one of them says.
        """
        return self._seen(await asyncio.wrap_future(self._turns.ask(_listed(texts), self._split, _views)))

    def views_now(self, texts: Sequence[str]) -> Floats:
        """`views` for code without an event loop; it blocks."""
        return self._seen(self._turns.ask(_listed(texts), self._split, _views).result())

    async def states(self, texts: Sequence[str]) -> list[Floats]:
        """Each text's token embeddings, float32 (tokens, dims): a row for each of its word pieces, no marks."""
        found = await asyncio.wrap_future(self._turns.ask(_listed(texts), self._split, _tokens))
        return [np.concatenate(rows) if rows else np.zeros((0, self.dims), np.float32) for rows in found]

    async def read(self, texts: Sequence[str]) -> list[Reading]:
        """What the heads say of each text, in order; no part of a long text is left out.

        Concurrent calls share passes of the model. Raises `ConfigError` where there are no heads.
        """
        listed = _listed(texts)
        found = await asyncio.wrap_future(self._turns.ask(listed, self._runs, self._part))
        return [_reading(*row) for row in zip(listed, found, strict=True)]

    def read_now(self, texts: Sequence[str]) -> list[Reading]:
        """`read` for code without an event loop; it blocks."""
        listed = _listed(texts)
        found = self._turns.ask(listed, self._runs, self._part).result()
        return [_reading(*row) for row in zip(listed, found, strict=True)]

    async def span(self, question: str, texts: Sequence[str]) -> list[Span | None]:
        """Where each text answers the question, were it to: the likeliest of its windows' spans, with how likely.

        None for a text without a token. Raises `ConfigError` where there is no span head.
        """
        if self._span is None:
            raise ConfigError("This encoder has no span head.", fix="Load it with the folder of its span head.")
        split = partial(self._pairs, asked(question, self.pieces))
        found = await asyncio.wrap_future(self._turns.ask(_listed(texts), split, lambda _, span: span))
        return [max(spans, key=lambda one: one.lead, default=None) for spans in found]

    def glance(self, text: str) -> list[Glance]:
        """What the words of each part of the text say, without a pass of the model: 1 ms for some 150 words.

        Raises `ConfigError` where there are no heads.
        """
        if self._heads is None:
            raise ConfigError(NONE, fix="Load it with the folder of its heads.")
        return self._heads.glance(text, self.pieces)

    def tokens(self, text: str) -> int:
        """How many word pieces the text has, marks not counted."""
        return len(self.pieces.ids(text))

    def wordy(self, text: str) -> list[bool]:
        """Of each word piece of the text whether it is of a word, not a mark: (tokens,), as `states` has them."""
        return [word[0].isalnum() for word in words(text) for _ in self.pieces.word(word)]

    def close(self) -> None:
        """Stop the thread; whoever still waits is cancelled."""
        self._turns.close()

    def _split(self, text: str) -> list[Ids]:
        return windows(text, self.pieces, self.window - 2)

    def _begun(self, text: str) -> list[Half]:
        return [Half(window) for window in self._split(text)]

    def _runs(self, text: str) -> list[Run]:
        if self._heads is None:
            raise ConfigError(NONE, fix="Load it with the folder of its heads.")
        return runs(text, self.pieces, self.window - 2)

    def _pairs(self, question: list[Word], text: str) -> list[Pair]:
        return list(pairs(question, text, self.pieces, BESIDE))

    def _pass(self, batch: list[Any]) -> list[Any]:
        """What each window says: of a `Pair` its span, of a `Run` what the heads say, of ids what the encoder says, of
        a `Half` what it says halfway."""
        found: list[Any] = [None] * len(batch)
        for kind, reads in self._kinds.items():
            rows = [row for row, run in enumerate(batch) if type(run) is kind]
            if rows:
                for row, said in zip(rows, reads([batch[row] for row in rows]), strict=True):
                    found[row] = said
        return found

    def _spanned(self, batch: list[Pair]) -> list[Span]:
        if self._span is None:
            raise ConfigError("This encoder has no span head.", fix="Load it with the folder of its span head.")
        feed, lower = self._states([pair.ids for pair in batch])
        return self._span.said(lower, feed["attention_mask"], batch)

    def _headed(self, batch: list[Run]) -> list[Said]:
        if self._heads is None:
            raise ConfigError(NONE, fix="Load it with the folder of its heads.")
        feed, middle = self._middles([run.ids for run in batch])
        return self._heads.said(middle, feed["attention_mask"], batch)

    def _whole(self, batch: list[Ids]) -> list[Read]:
        found = [known.read if (known := self._recent.get(ids)) else None for ids in batch]
        new = [row for row, read in enumerate(found) if read is None]
        if new:
            feed, middle = self._middles([batch[row] for row in new])
            sentences, states = self._upper.run(OUTPUTS, {MIDDLE: middle, **feed})
            for at, row in enumerate(new):
                size = len(batch[row])
                halfway = middle[at, : size + 2].copy()
                read = Read(sentences[at].copy(), states[at, 1 : size + 1].copy(), halfway[1:-1])
                self._recent.put(batch[row], Known(halfway, read))
                found[row] = read
        return cast("list[Read]", found)

    def _halfway(self, batch: list[Half]) -> list[Floats]:
        _, middle = self._middles(batch)
        rows = [middle[row, 1 : len(run) + 1].mean(axis=0) for row, run in enumerate(batch)]
        return [np.append(row, np.float32(len(run))) for row, run in zip(rows, batch, strict=True)]

    def _middles(self, batch: Sequence[Ids]) -> tuple[Feed, Floats]:
        """Ids and mask, and the middle states; only windows that are new are read for them."""
        feed = self._fed([(self.pieces.cls, *ids, self.pieces.sep) for ids in batch])
        known = [self._recent.get(ids) for ids in batch]
        new = [row for row, one in enumerate(known) if one is None]
        middle = np.zeros((*feed["input_ids"].shape, self.dims), np.float32)
        if new:
            part = {name: rows[new] for name, rows in feed.items()}
            (middle[new],) = self._middle.run([MIDDLE], {LOWER: self._lowest(part), **part})
        for row, one in enumerate(known):
            if one:
                middle[row, : len(one.middle)] = one.middle
            else:
                self._recent.put(batch[row], Known(middle[row, : len(batch[row]) + 2].copy()))
        return feed, middle

    def _states(self, batch: Sequence[Sequence[int]]) -> tuple[Feed, Floats]:
        """Ids and mask, and the lower states, of windows with their marks."""
        return (feed := self._fed(batch)), self._lowest(feed)

    def _fed(self, batch: Sequence[Sequence[int]]) -> Feed:
        """Ids and mask of windows with their marks; the shorter ones are padded and masked."""
        ids = np.full((len(batch), max(map(len, batch))), self.pieces.pad, np.int64)
        mask = np.zeros_like(ids)
        for row, run in enumerate(batch):
            ids[row, : len(run)], mask[row, : len(run)] = run, 1
        return {"input_ids": ids, "attention_mask": mask}

    def _lowest(self, feed: Feed) -> Floats:
        (lower,) = self._lower.run([LOWER], feed)
        return lower

    def _part(self, run: Run, said: Said) -> Part:
        if self._heads is None:
            raise ConfigError(NONE, fix="Load it with the folder of its heads.")
        return self._heads.part(run, said)

    def _pooled(self, found: list[list[Floats]]) -> Floats:
        """Rows of (dims + 1): the window's embedding and its weight, to one unit row a text; zeros where none."""
        pooled = np.zeros((len(found), self.dims), np.float32)
        for row, kept in enumerate(found):
            if kept:
                pooled[row] = _unit(np.sum([weighted[:-1] * weighted[-1] for weighted in kept], axis=0))
        return pooled

    def _seen(self, found: list[list[Floats]]) -> Floats:
        """The same view by view, of windows' (VIEWS, dims + 1)."""
        each = [self._pooled([[views[at] for views in kept] for kept in found]) for at in range(VIEWS)]
        return np.concatenate(each, axis=1)


def _listed(texts: Sequence[str]) -> Sequence[str]:
    if isinstance(texts, str):
        raise TypeError("texts must be a list of texts, not one text")
    return list(texts)


def _reading(text: str, parts: Sequence[Part]) -> Reading:
    worst = np.max([part.scores for part in parts], axis=0).tolist() if parts else [0.0] * len(SCORES)
    injection, instruction, toxicity = worst
    return Reading(joined(text, parts), injection, instruction, toxicity)


def _sentence(_: Ids, read: Read) -> Floats:
    return np.append(read.sentence, np.float32(len(read.tokens)))


def _views(_: Ids, read: Read) -> Floats:
    said, before = read.tokens, read.middle
    views = np.stack([read.sentence, *map(_unit, (said.max(axis=0), before.mean(axis=0), before.max(axis=0)))])
    return np.concatenate([views, np.full((VIEWS, 1), len(said), np.float32)], axis=1)


def _unit(x: Floats) -> Floats:
    return x / max(float(np.linalg.norm(x)), 1e-12)


def _tokens(_: Ids, read: Read) -> Floats:
    return read.tokens.copy()  # a view would keep its whole batch alive
