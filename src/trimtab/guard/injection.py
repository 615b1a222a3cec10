"""Finds injections and jailbreaks in new words, by a head of the house encoder; `patterns` is the cheap one before it.

Text that nobody vouches for (retrieved passages, tool results) is held to a stricter bar: a document has no business
setting an assistant tasks, so that there any task counts, and to lose a passage costs less than to lose a request.
"""

import msgspec

from trimtab.guard._scored import Head, Scored, limits
from trimtab.ports import Guard, Tools


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`fpr` is the share of benign texts that may be found wrongly, by `trimtab guard calibrate`; `untrusted_fpr` that
    of retrieved and tool text. `threshold` and `untrusted_threshold`, scores from 0 to 1, win over them. A request of
    more than `characters` is a finding of its own: what is not read is not let pass.
    """

    fpr: float = 0.01
    untrusted_fpr: float = 0.02
    threshold: float | None = None
    untrusted_threshold: float | None = None
    characters: int = 200_000


HEAD = Head(
    "INJECTION",
    code="injection",
    says="It reads like an injection",
    by="the encoder's injection and instruction heads and first tier, taught prose",
    user=("injection",),
    untrusted=("injection", "instruction"),
    usual=(0.82, 0.97),  # found wrongly: 0.25 % of users' texts and of an encyclopedia's passages: benchmarks/heads.py
)


def build(options: Options, tools: Tools) -> Guard:
    """Raises `ConfigError` for a threshold that is none, or a calibration of another head."""
    thresholds = (options.threshold, options.untrusted_threshold)
    fprs = (options.fpr, options.untrusted_fpr)
    guard = Scored(HEAD, tools, limits(HEAD, tools, fprs, thresholds, options.characters))
    tools.starting(guard.start)
    return guard
