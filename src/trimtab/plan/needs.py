"""What a plan has to meet: where it may run, how much of what, how fast, how good, at what cost; from flags or TOML."""

import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan.cost import Use

PLACES = ("device", "edge", "browser", "server", "cloud")
KINDS = {
    "device": ("phone", "apple", "apu", "cpu"), "edge": ("edge", "sbc"), "browser": ("browser",),
    "server": ("gpu", "dc", "cpu", "apple", "apu"), "cloud": ("dc",),
}  # fmt: skip
"""Kinds of hardware by place; an API is a `cloud`."""
BENCHMARKS = ("mmlu", "mmlu_pro", "gsm8k", "humaneval", "ifeval")
FAILURES = ("cost", "latency", "quality", "privacy")
LARGEST = 1e12
MOST = 8
"""Devices that are planned as one server."""
WAIT, READ = 2.0, 5.0
"""Seconds to the first token (p95) and tokens a second for someone who waits and reads, where nobody asks for others:
MLPerf Inference 5.0 holds a server of a chat to 2 s and 200 ms a token (Llama 2 70B, p99)."""
FLOOR = 60.0
"""Percent that a model must get right where nobody asks for a quality or names a model: below, it replaces none."""


class Needs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Constraints; None is none. `where`, `fails` (which failure matters most) and volumes have defaults."""

    where: tuple[str, ...] = ("server", "cloud")
    device: str | None = None
    model: str | None = None
    requests: float = 100_000
    """A month."""
    prompt: float = 1000
    answer: float = 300
    context: float | None = None
    """Tokens that must fit; prompt and answer where it is not given."""
    peak: float = 3.0
    """Times the mean, in the busiest hour."""
    first_p95: float | None = None
    """Seconds to the first token, p95; 0 asks for none."""
    pace: float | None = None
    """Tokens a second of one answer, at least; 0 asks for none."""
    budget: float | None = None
    """USD a month."""
    benchmark: str = "mmlu"
    quality: float | None = None
    """Percent on `benchmark`, at least; 0 asks for none."""
    private: bool = False
    """Nothing may go to a provider."""
    watts: float | None = None
    gpus: int | None = None
    """Devices in one server, at the most; else what a machine of that kind holds."""
    licence: str | None = None
    """A word that the licence must have, as `Apache`."""
    large: str = "gpt-5.4"
    """The model of a provider that hard requests escalate to."""
    escalated: float = 0.3
    """Share of requests that the small model is not trusted with."""
    harm: float = 0.0
    """USD that one wrong answer costs."""
    fails: str = "cost"
    cached: float = 0.0
    batch: float = 0.0

    @property
    def use(self) -> Use:
        """The month's volume."""
        return Use(requests=self.requests, prompt=self.prompt, answer=self.answer, cached=self.cached, batch=self.batch)

    @property
    def least(self) -> float | None:
        """Percent that a model must get right: as asked, else `FLOOR` unless the model is named; None: any."""
        if self.quality is None:
            return None if self.model else FLOOR
        return self.quality or None

    @property
    def latest(self) -> float | None:
        """Seconds to the first token, p95, at the most: as asked, else `WAIT` unless all may wait; None: any."""
        return (self._assumed(WAIT) if self.first_p95 is None else self.first_p95) or None

    @property
    def slowest(self) -> float | None:
        """Tokens a second, at least: as asked, else `READ` unless all may wait; None: any."""
        return (self._assumed(READ) if self.pace is None else self.pace) or None

    def _assumed(self, limit: float) -> float | None:
        return limit if self.batch < 1 else None

    @property
    def length(self) -> int:
        """Tokens that a sequence must hold."""
        return int(self.context or self.prompt + self.answer)

    @property
    def rate(self) -> float:
        """Requests a second in the busiest hour."""
        return self.requests / (730 * 3600) * self.peak


def read(path: Path, given: dict[str, Any]) -> Needs:
    """A TOML file's constraints, over which those of flags lie.

    Raises:
        ConfigError: no such file, no TOML, an unknown or absurd constraint.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"No file {str(path)!r}.", "Give a TOML file of constraints.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{str(path)!r} is no TOML: {error}.", "Correct it.") from error
    return made({**found, **given})


def planned(path: Path) -> Needs:
    """The constraints of a TOML file, or of a plan that `--json` wrote.

    Raises:
        ConfigError: neither.
    """
    if path.suffix != ".json":
        return read(path, {})
    try:
        found = json.loads(path.read_bytes())
        given = {key: value for key, value in found["needs"].items() if value is not None}
    except FileNotFoundError as error:
        raise ConfigError(f"No file {str(path)!r}.", "Give what trimtab plan --json wrote.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{str(path)!r} is no plan.", "Give what trimtab plan --json wrote.") from error
    return made(given)


def made(given: dict[str, Any]) -> Needs:
    """Constraints from plain values, checked.

    Raises:
        ConfigError: an unknown name, a wrong type, a number that cannot be.
    """
    for name in given:
        if name not in Needs.__struct_fields__:
            raise ConfigError(
                f"There is no constraint {name!r}.", f"Known: {', '.join(Needs.__struct_fields__)}.", param=name
            )
    if isinstance(where := given.get("where"), str):
        given = given | {"where": [word.strip() for word in where.split(",")]}
    try:
        needs = msgspec.convert(given, Needs, strict=False)
    except msgspec.ValidationError as error:
        wrong, _, place = str(error).partition(" - at ")
        name = place.strip("`$.").split("[")[0]
        raise ConfigError(
            f"{name or 'A constraint'} is wrong: {wrong[:1].lower()}{wrong[1:].replace('`', '')}.",
            "See trimtab plan --help.", param=name or None,
        ) from error  # fmt: skip
    _check(needs)
    return needs


def _check(needs: Needs) -> None:
    _one_of("where", needs.where, PLACES)
    _one_of("benchmark", (needs.benchmark,), BENCHMARKS)
    _one_of("fails", (needs.fails,), FAILURES)
    for name in ("requests", "prompt", "answer", "context", "budget", "watts", "peak"):
        value = getattr(needs, name)
        if value is not None and not 0 < value <= LARGEST:
            raise ConfigError(
                f"{name} = {value} cannot be.", f"Give a number above 0, up to {LARGEST:.0e}.", param=name
            )
    for name, most in (
        ("escalated", 1.0), ("cached", 1.0), ("batch", 1.0), ("quality", 100.0), ("harm", LARGEST),
        ("first_p95", LARGEST), ("pace", LARGEST),
    ):  # fmt: skip
        value = getattr(needs, name)
        if value is not None and not 0 <= value <= most:
            raise ConfigError(f"{name} = {value} cannot be.", f"Give a number from 0 to {most:g}.", param=name)
    if needs.gpus is not None and not 1 <= needs.gpus <= MOST:
        raise ConfigError(f"gpus = {needs.gpus} cannot be.", f"Give a number from 1 to {MOST}.", param="gpus")
    if needs.length > 20_000_000:
        raise ConfigError(f"No model has a context of {needs.length} tokens.", "Give fewer.", param="context")


def _one_of(name: str, values: tuple[str, ...], known: tuple[str, ...]) -> None:
    wrong = [value for value in values if value not in known] if values else [""]
    if wrong:
        raise ConfigError(f"{name} = {wrong[0]!r} is not known.", f"Known: {', '.join(known)}.", param=name)
