"""What each rule of the guards finds of attacks and of benign texts, by source, language and disguise."""

import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import guard_data
from trimtab import load, testing
from trimtab.evaluate import curves, evasion
from trimtab.evaluate.trial import interval
from trimtab.guard import patterns
from trimtab.types import Origin, Text

Rule: TypeAlias = Callable[[Sequence[str]], Awaitable[list[float]]]
"""Scores of texts, 0 to 1; of a rule that only finds or not, 0 and 1."""
TRIGGERS = (
    "ignore", "instruction", "prompt", "system", "rules", "pretend", "act as", "forget", "password", "secret", "attack",
    "kill", "hack", "bypass", "override", "previous", "developer", "restrict", "policy", "guideline",
)  # fmt: skip
UNFAIR = "no texts here that its head was not taught; see benchmarks/heads.py"
PAIRS = 400
"""Attacks that are rewritten."""


def rules(home: Path) -> dict[str, Rule]:
    """The rules that there are against attacks: patterns as the user's and as a document's text, and trained heads."""
    found: dict[str, Rule] = {"patterns": _patterns("user"), "patterns, retrieved": _patterns("untrusted")}
    for kind in ("injection", "toxicity"):
        module = load.kind("guard", kind)
        found[kind] = module.build(module.Options(), testing.tools(home, name=kind)).scores
    return found


def _patterns(scope: str) -> Rule:
    async def scores(texts: Sequence[str]) -> list[float]:
        return [float(any(True for _ in patterns.find(text, scope))) for text in texts]

    return scores


async def attacks(rules: dict[str, Rule], data: Path) -> dict[str, Any]:
    """Recall by source, and of rules that score: AUC, recall at 1 % and 0.1 % benign false positives, calibration."""
    found: dict[str, Any] = {}
    print(f"\n{'rule: source':48}{'found':>7}{'of':>7}{'recall':>8}{'95 %':>16}")
    for name, rule in rules.items():
        if name == guard_data.TOXIC:
            continue
        kinds = (guard_data.ATTACKS,) if name == "patterns" else (guard_data.ATTACKS, guard_data.PLANTED)
        given = guard_data.attacks(data, *kinds, rule=name)
        if not given:
            print(f"{name}: {_unfair(data, *kinds)}")
            continue
        fine = guard_data.benign(data, name)
        fine = random.Random(1).sample(fine, min(len(fine), 5000))
        scores, benign = await rule([row["text"] for row in given]), await rule(fine)
        limit = curves.threshold(np.asarray(benign), 0.01) if fine and not name.startswith("patterns") else usual(name)
        recall = _by_source(name, given, scores, limit)
        found[name] = {"recall": recall, **(_figures(name, scores, benign) if fine else {})}
    return found


def usual(rule: str) -> float:
    """The threshold of a rule where nobody has calibrated it."""
    return 0.5 if rule.startswith("patterns") else load.kind("guard", rule).HEAD.usual[0]


def _by_source(name: str, given: list[Any], scores: list[float], limit: float) -> dict[str, Any]:
    hits: dict[str, list[bool]] = defaultdict(list)
    for row, score in zip(given, scores, strict=True):
        for source in (row.get("source") or ("bipia" if "category" in row else "unnamed"), "all"):
            hits[source].append(score > limit)
    for source, found in hits.items():
        low, high = interval(sum(found), len(found)) or (0, 0)
        share = sum(found) / len(found)
        print(f"{name + ': ' + source:48}{sum(found):7}{len(found):7}{share:8.3f}{f'{low:.3f}-{high:.3f}':>16}")
    return {source: (sum(found), len(found)) for source, found in hits.items()}


def _figures(name: str, bad: list[float], fine: list[float]) -> dict[str, Any]:
    """Share of benign texts found; and of scores the curve's figures."""
    if name.startswith("patterns"):
        wrong = sum(score > 0.5 for score in fine)
        print(f"  found wrongly: {wrong} of {len(fine)}")
        return {"wrong": (wrong, len(fine))}
    figures = {
        "auc": curves.auc, "recall at 1 %": curves.recall_at(0.01), "recall at 0.1 %": curves.recall_at(0.001),
        "calibration error": curves.calibration_error,
    }  # fmt: skip
    found = {name: curves.with_interval(figure, bad, fine) for name, figure in figures.items()}
    for name, value in found.items():
        print(f"  {name}: {value['value']:.3f} ({value['interval'][0]:.3f}-{value['interval'][1]:.3f})")
    return found


def _unfair(data: Path, *kinds: str) -> str:
    """Why there is nothing to measure on."""
    return UNFAIR if guard_data.scorable(data, *kinds) else f"no texts of {' or '.join(kinds)} here"


async def toxicity(rules: dict[str, Rule], data: Path) -> dict[str, Any]:
    """The same of offensive and hateful texts against the others of the same source."""
    if guard_data.TOXIC not in rules:
        return {}
    given = guard_data.held_out(guard_data.files(data, guard_data.TOXIC), guard_data.TOXIC)
    if not given:
        print(f"\ntoxicity: {_unfair(data, guard_data.TOXIC)}")
        return {}
    scores = await rules[guard_data.TOXIC]([row["text"] for row in given])
    bad, fine = (
        [s for row, s in zip(given, scores, strict=True) if bool(row["label"]) == wanted] for wanted in (True, False)
    )
    if not (bad and fine):
        hits, label = sum(score > usual(guard_data.TOXIC) for score in scores), int(bool(bad))
        print(f"\ntoxicity: {hits} of {len(scores)} found at the usual threshold; every label is {label}, so no curve")
        return {"label": label, "found": (hits, len(scores))}
    print("\ntoxicity")
    return _figures(guard_data.TOXIC, bad, fine)


async def languages(rules: dict[str, Rule]) -> dict[str, Any]:
    """Attacks found, and benign texts found wrongly, by language: sentences of our own, which the rules have seen."""
    given = guard_data.rows(guard_data.OWN)
    table: dict[str, Any] = {}
    for name in ("patterns", "injection"):
        if name not in rules:
            continue
        scores = await rules[name]([row["text"] for row in given])
        tally: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for row, score in zip(given, scores, strict=True):
            at = 0 if row["label"] else 2
            tally[row["lang"]][at] += score > 0.5
            tally[row["lang"]][at + 1] += 1
        table[name] = dict(tally)
        print(f"\n{name}, by language (found of attacks, found of benign)")
        print("  ".join(f"{lang} {a}/{b} {c}/{d}" for lang, (a, b, c, d) in tally.items()))
    return table


async def over_refusal(rules: dict[str, Rule], data: Path) -> dict[str, Any]:
    """Benign texts with the words of attacks in them that a rule finds, at its usual threshold where it scores."""
    own = [row["text"] for row in guard_data.rows(guard_data.OWN) if not row["label"]]
    print(f"\n{'benign, with the words of attacks':36}{'ours':>16}{'of the data':>16}")
    found: dict[str, Any] = {}
    for rule, score_of in rules.items():
        others = guard_data.benign(data, rule)
        sets = {"ours": own, "of the data": [text for text in others if any(word in text.lower() for word in TRIGGERS)]}
        found[rule] = {
            name: (sum(score > usual(rule) for score in await score_of(texts)), len(texts))
            for name, texts in sets.items()
        }
        print(f"{rule:36}" + "".join(f"{f'{count} of {of}':>16}" for count, of in found[rule].values()))
    return found


async def flips(rules: dict[str, Rule], data: Path) -> dict[str, Any]:
    """Of the attacks that a rule finds, the share that it no longer finds once they are rewritten."""
    found: dict[str, Any] = {}
    print(f"\n{'no longer found':24}{'flipped':>9}{'of':>7}{'rate':>8}{'95 %':>16}")
    for name in ("patterns", "injection"):
        texts = [row["text"] for row in guard_data.attacks(data, guard_data.ATTACKS, rule=name)]
        if name in rules and texts:
            found[name] = await _flipped(rules[name], random.Random(2).sample(texts, min(len(texts), PAIRS)))
    return found


async def _flipped(rule: Rule, texts: Iterable[str]) -> dict[str, tuple[int, int]]:
    kept = [text for text, score in zip(texts, await rule(list(texts)), strict=True) if score > 0.5]
    table: dict[str, tuple[int, int]] = {}
    for change, rewrite in evasion.CHANGES.items():
        rng = random.Random(3)
        scores = await rule([rewrite(text, rng) for text in kept])
        lost = sum(score <= 0.5 for score in scores)
        low, high = interval(lost, len(kept)) or (0, 0)
        print(f"{change:24}{lost:9}{len(kept):7}{lost / max(1, len(kept)):8.3f}{f'{low:.3f}-{high:.3f}':>16}")
        table[change] = (lost, len(kept))
    return table


def request_texts(text: str) -> tuple[Text, ...]:
    return (Text(text=text, origin=Origin.USER, path="messages[0].content"),)
