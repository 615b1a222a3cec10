"""Finds offensive and hateful text, by a head of the house encoder: of users, and with `on = ["answer"]` of models.

The head was trained on English tweets: it takes coarse words for offence, and polite hate passes it more easily.
"""

import msgspec

from trimtab.guard._scored import Head, Scored, limits
from trimtab.ports import Guard, Tools


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`fpr` is the share of benign texts that may be found wrongly, by `trimtab guard calibrate`; `threshold`, a score
    from 0 to 1, wins over it. A request of more than `characters` is a finding of its own.
    """

    fpr: float = 0.01
    threshold: float | None = None
    characters: int = 200_000


HEAD = Head(
    "TOXIC", code="toxicity", says="It is offensive or hateful", by="the encoder's toxicity head and first tier",
    user=("toxicity",), untrusted=("toxicity",), usual=(0.9, 0.9),
)  # fmt: skip


def build(options: Options, tools: Tools) -> Guard:
    """Raises `ConfigError` for a threshold that is none, or a calibration of another head."""
    fprs, thresholds = (options.fpr, options.fpr), (options.threshold, options.threshold)
    guard = Scored(HEAD, tools, limits(HEAD, tools, fprs, thresholds, options.characters))
    tools.starting(guard.start)
    return guard
