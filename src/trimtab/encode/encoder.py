"""The house encoder: texts in, 384 numbers each out, on one thread of its own so that the event loop never waits.

A text longer than the model's 256-token window is read window by window, cut between sentences where that is possible,
and its embedding is the mean of theirs weighted by their tokens: nothing is cut off. A text with no token (empty, white
space, controls only) has the zero embedding, which is like nothing; every other row has length 1. An embedding does not
depend on what else is in the batch (beyond float rounding).
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trimtab.encode.sealed import opened
from trimtab.encode.tokenizer import WordPiece
from trimtab.encode.turns import Floats, Ids, Read, Turns
from trimtab.encode.windows import windows
from trimtab.errors import ConfigError

HOME = Path(__file__).parent / "minilm"
FIX = "Reinstall trimtab, or make the encoder again with runs/encoder.sh."
OUTPUTS = ["sentence_embedding", "last_hidden_state"]


class Session(Protocol):
    """What is used of `onnxruntime.InferenceSession`."""

    def run(self, output_names: list[str], input_feed: dict[str, Any]) -> Sequence[Any]: ...


class Encoder:
    """One small model, loaded once; `load` makes one. Safe to call from several threads and event loops."""

    def __init__(self, session: Session, pieces: WordPiece, dims: int, window: int) -> None:
        self.dims, self.window = dims, window
        self.pieces, self._session = pieces, session
        self._turns = Turns(self._split, self._read)

    @classmethod
    def load(cls, path: Path | None = None, threads: int = 1) -> "Encoder":
        """Load the encoder in the folder `path` (the shipped one if None) after checking each file's SHA-256.

        `threads` are the CPU threads of one pass. Raises `ConfigError` where a file is missing, changed or no model.
        """
        folder = path or HOME
        facts = opened(folder, ["model.onnx", "vocab.txt"], FIX)
        try:
            dims, window = int(facts["dims"]), int(facts["max_tokens"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{folder / 'manifest.json'} must hold the numbers dims, max_tokens.", fix=FIX) from error
        return cls(session(folder / "model.onnx", threads), WordPiece.load(folder / "vocab.txt"), dims, window)

    async def embed(self, texts: Sequence[str]) -> Floats:
        """Embeddings, float32 (n, dims), in the order of `texts`. Concurrent calls share passes of the model.

        A caller that is cancelled takes its unread windows with it. A megabyte of text is some 950 windows
        and takes about 25 s of one core.
        """
        found = await asyncio.wrap_future(self._turns.ask(_listed(texts), _sentence))
        return self._pooled(found)

    def embed_now(self, texts: Sequence[str]) -> Floats:
        """`embed` for code without an event loop; it blocks."""
        return self._pooled(self._turns.ask(_listed(texts), _sentence).result())

    async def states(self, texts: Sequence[str]) -> list[Floats]:
        """Each text's token embeddings, float32 (tokens, dims): a row for each of its word pieces, no marks."""
        found = await asyncio.wrap_future(self._turns.ask(_listed(texts), _tokens))
        return [np.concatenate(rows) if rows else np.zeros((0, self.dims), np.float32) for rows in found]

    def tokens(self, text: str) -> int:
        """How many word pieces the text has, marks not counted."""
        return len(self.pieces.ids(text))

    def close(self) -> None:
        """Stop the thread; whoever still waits is cancelled."""
        self._turns.close()

    def _split(self, text: str) -> list[Ids]:
        return windows(text, self.pieces, self.window - 2)

    def _read(self, batch: list[Ids]) -> list[Read]:
        """One pass of the model; the shorter windows are padded and masked."""
        ids = np.full((len(batch), max(map(len, batch)) + 2), self.pieces.pad, np.int64)
        mask = np.zeros_like(ids)
        for row, run in enumerate(batch):
            ids[row, : len(run) + 2] = (self.pieces.cls, *run, self.pieces.sep)
            mask[row, : len(run) + 2] = 1
        sentences, states = self._session.run(OUTPUTS, {"input_ids": ids, "attention_mask": mask})
        return [Read(sentences[row], states[row, 1 : len(run) + 1]) for row, run in enumerate(batch)]

    def _pooled(self, found: list[list[Floats]]) -> Floats:
        """Rows of (dims + 1): the window's embedding and its weight, to one unit row a text; zeros where none."""
        pooled = np.zeros((len(found), self.dims), np.float32)
        for row, kept in enumerate(found):
            if kept:
                total = np.sum([weighted[:-1] * weighted[-1] for weighted in kept], axis=0)
                pooled[row] = total / max(float(np.linalg.norm(total)), 1e-12)
        return pooled


def _listed(texts: Sequence[str]) -> Sequence[str]:
    if isinstance(texts, str):
        raise TypeError("texts must be a list of texts, not one text")
    return list(texts)


def _sentence(read: Read) -> Floats:
    return np.append(read.sentence, np.float32(len(read.tokens)))


def _tokens(read: Read) -> Floats:
    return read.tokens.copy()  # a view would keep its whole batch alive


def session(path: Path, threads: int) -> Session:
    """An inference session that is small and quiet: no spinning threads, no arena that keeps its largest batch.

    Raises `ConfigError` where `path` is no model or `threads` is under 1.
    """
    import onnxruntime

    if threads < 1:
        raise ConfigError(f"threads is {threads}.", fix="Give the encoder 1 thread or more.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ConfigError(f"{path} is not a model that onnxruntime can run ({error}).", fix=FIX) from error
