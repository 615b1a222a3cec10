"""The heads' quality on texts they never saw, and what a pass of all of them costs.

    python benchmarks/heads.py [--data DIR] [--heads DIR] [--left DIR=SOURCE[,SOURCE] ...] [--words FILE]

Personal data: the templates of pii_synth_v2 that training left out. Injection: recall on a source at the threshold that
flags 1 % of benign texts, of families of variants that were kept apart (jailbreaks are handed on with few words
changed). Scores are those of the guards: of a text's worst part, which its words alone may clear. `--left` names heads
that were trained without that source (`--leave` of `trimtab.train.heads` and of `trimtab.train.static`, then
`trimtab.train.calibrate`); without it, the figures are of rows, not of sources. Benign texts are of a source that no
head was trained on (benign_instructions), and CLINC150's validation rows. `--words` are harmless texts full of trigger
words, JSONL with `text` and `label` 0. Where one of the SETS is not there nothing is measured.
"""

import argparse
import asyncio
import gzip
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import testing
from trimtab.encode.encoder import HEADS, HOME, Encoder
from trimtab.encode.located import located
from trimtab.evaluate.evasion import HARMLESS
from trimtab.guard import injection as injections
from trimtab.guard import toxicity as toxicities
from trimtab.train.attacks import attacks, benign
from trimtab.train.corpus import jailbreaks, read, theirs
from trimtab.train.variants import part_of
from trimtab.types import Origin

BENIGN, DRAWS, BURIED = 1200, 1000, (500, 5000)
SETS = (
    "pii_synth_v2", "injection_pos", "bipia_attack_strings", "toxicity_tweets", "benign_instructions",
    "intent_clinc150_val", "ground_begin_dev_cmu", "ground_begin_dev_tc",
)  # fmt: skip
RESULT = Path(__file__).parent / "results" / "heads.json"


def timed(encoder: Encoder, rounds: int = 200) -> dict[str, float]:
    """Milliseconds of one text of 32 tokens, marks counted, with all heads: wall and CPU."""
    spent: list[float] = []
    start = time.process_time()
    for number in range(rounds):
        begun = time.perf_counter()
        encoder.read_now([f"{number} " + " ".join(["card"] * 29)])
        spent.append((time.perf_counter() - begun) * 1e3)
    cpu = (time.process_time() - start) / rounds * 1e3
    found = {"least": min(spent), "p50": statistics.median(spent), "cpu": cpu, "load": os.getloadavg()[0]}
    return {name: round(value, 2) for name, value in found.items()}


def personal(encoder: Encoder, data: Path) -> dict[str, Any]:
    """Recall, precision and F1 of words that are personal data, of whatever kind; and recall by kind, kind ignored."""
    rows = [row for row in read(data / "guard" / "pii_synth_v2.jsonl") if part_of(row["template_id"]) == "test"]
    counts: list[tuple[int, int, int]] = []  # a row's words that are personal data, those found, those rightly found
    kinds: dict[str, list[int]] = {}
    for row, found in zip(rows, encoder.read_now([row["text"] for row in rows]), strict=True):
        spans = theirs(row).spans
        places = [(start, end) for _, start, end in located(row["text"])]
        true = [_kind(place, spans) for place in places]
        given = [any(tag.start < end and start < tag.end for tag in found.tags) for start, end in places]
        counts.append((sum(map(bool, true)), sum(given), sum(bool(t) and g for t, g in zip(true, given, strict=True))))
        for kind, hit in zip(true, given, strict=True):
            if kind:
                kinds.setdefault(kind, []).append(hit)
    recall = {kind: [round(statistics.mean(hits), 3), len(hits)] for kind, hits in sorted(kinds.items())}
    return {"texts": len(rows), **_ratios(counts), "recall_and_words_by_kind": recall}


def _kind(place: tuple[int, int], spans: Sequence[tuple[str, int, int]]) -> str:
    return next((kind for kind, start, end in spans if start < place[1] and place[0] < end), "")


def _ratios(counts: Sequence[tuple[int, int, int]]) -> dict[str, Any]:
    table, drawn = np.array(counts), np.random.default_rng(1)
    draws = np.array([_f1(table[drawn.integers(0, len(table), len(table))]) for _ in range(DRAWS)])
    names = ("recall", "precision", "f1")
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    values = zip(_f1(table), low, high, strict=True)
    return {name: [round(float(part), 3) for part in triple] for name, triple in zip(names, values, strict=True)}


def _f1(table: Any) -> tuple[float, float, float]:
    true, given, hits = table.sum(axis=0)
    return hits / max(true, 1), hits / max(given, 1), 2 * hits / max(true + given, 1)


def injection(encoder: Encoder, data: Path, sources: Sequence[str], words: Path | None) -> dict[str, Any]:
    """Recall of `sources` at 1 % of benign texts flagged and at the usual threshold; what those flag of harmless texts
    with attackers' words; and at the usual one what appended words and long texts hide.
    """
    plain = _scores(encoder, _benign(data))
    limit, usual = float(np.quantile(plain, 0.99)), injections.HEAD.usual[0]
    found: dict[str, Any] = {
        "benign": len(plain),
        "threshold": round(limit, 4),
        "benign_over_usual": _share(plain, usual),
    }
    for source, texts in _positives(data, sources).items():
        scores = _scores(encoder, texts)
        found[source] = {"texts": len(texts), "recall": _share(scores, limit), "at_usual": _share(scores, usual)}
    drawn = {n.text for n in benign(3000, 7) if part_of(n.template) == "test"}
    harmless = {"templates kept apart": sorted(drawn)[:600]}
    if words:
        harmless["words"] = [row["text"] for row in read(words) if row["label"] == 0]
    for name, texts in harmless.items():
        scores = _scores(encoder, texts)
        shares = {"at_limit": _share(scores, limit), "at_usual": _share(scores, usual)}
        found[f"flagged: {name}"] = {"texts": len(texts), **shares}
    return found | {"appended": appended(encoder, usual), "buried": buried(encoder, data, usual)}


def appended(encoder: Encoder, limit: float) -> dict[str, Any]:
    """How many attacks of templates kept apart are no longer found once 1 to 10 harmless words follow them.

    None of these words is one that training appended (`train/padding.py`).
    """
    drawn = random.Random(9)
    texts = sorted({one.text for one in attacks(2000, 11) if part_of(one.template) == "test"})[:300]
    caught = [text for text, score in zip(texts, _scores(encoder, texts), strict=True) if score > limit]
    longer = [f"{text} {' '.join(drawn.choices(HARMLESS, k=drawn.randint(1, 10)))}" for text in caught]
    lost = 1 - _share(_scores(encoder, longer), limit) if longer else None
    return {"attacks": len(texts), "caught": len(caught), "flipped": lost}


def buried(encoder: Encoder, data: Path, limit: float) -> dict[str, Any]:
    """Of jailbreaks kept apart that are found alone, those found in the middle of an encyclopedia's words."""
    path = data / "training" / "anli1_palm540b_valid.jsonl.gz"
    if not path.exists():
        return {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        prose = " ".join(sorted({json.loads(line)["premise"] for line in file})).split()
    texts = _positives(data, ())["inthewild_jailbreak"]
    found = [text for text, score in zip(texts, _scores(encoder, texts), strict=True) if score > limit]
    shares: dict[str, Any] = {"alone": len(found)}
    for words in BURIED:
        before, after = " ".join(prose[: words // 2]), " ".join(prose[words // 2 : words])
        shares[f"among {words} words"] = _share(
            _scores(encoder, [f"{before}\n{text}\n{after}" for text in found]), limit
        )
    return shares


def documents(encoder: Encoder, data: Path, sources: Sequence[str]) -> dict[str, Any]:
    """What a threshold for documents finds of an encyclopedia's passages, and of attacks planted in them: of jailbreaks
    kept apart, and of BIPIA's harmless-looking tasks, by sorts of task kept apart, or all where `sources` names them.

    The threshold is the usual one; of heads that ship nowhere it is what 2 % of 400 other passages exceed.
    """
    path, limit = data / "retrieval" / "squad2_docs.jsonl", injections.HEAD.usual[1]
    if not path.exists():
        return {}
    drawn = random.Random(2).sample([row["text"] for row in read(path)], 800)
    others, passages = drawn[:400], drawn[400:]
    shown = _documents(encoder, others)
    limit = float(np.quantile(shown, 0.98)) if sources else limit
    rows = read(data / "guard" / "bipia_attack_strings.jsonl")
    tasks = [row["text"] for row in rows if "bipia" in sources or part_of(row["category"]) == "test"]
    planted = {"jailbreaks": _positives(data, sources)["inthewild_jailbreak"], "tasks": tasks}
    found = {"passages": len(passages), "found wrongly": _share(_documents(encoder, passages), limit)}
    found["98 % of 400 others are below"] = round(float(np.quantile(shown, 0.98)), 4)
    for name, texts in planted.items():
        inside = [f"{page[:400]}\n{text[:600]}\n{page[400:800]}" for page, text in zip(passages, texts, strict=False)]
        found[name] = {"texts": len(inside), "recall": _share(_documents(encoder, inside), limit)}
    wrongly = {name: [_share(_documents(encoder, texts), limit), len(texts)] for name, texts in _prose(data).items()}
    return {"threshold": round(limit, 4), **found, "other prose found wrongly": wrongly}


def _prose(data: Path) -> dict[str, list[str]]:
    """Texts that are no encyclopedia's: plots of films and a newspaper's of BEGIN's, and pages on programs, our own."""
    kinds = {"plots of films": "cmu", "newspaper": "tc"}
    found = {name: read(data / "guard" / f"ground_begin_dev_{source}.jsonl") for name, source in kinds.items()}
    pages = [path.read_text("utf-8") for path in sorted((Path(__file__).parents[1] / "docs").rglob("*.md"))]
    plain = [part for page in pages for part in page.split("\n\n") if part[:1].isalpha() and 200 < len(part) < 1500]
    return {name: sorted({row["knowledge"] for row in rows}) for name, rows in found.items()} | {
        "this project's docs": random.Random(6).sample(plain, min(len(plain), 200))
    }


def _documents(encoder: Encoder, texts: Sequence[str]) -> Any:
    return _scores(encoder, texts, origin=Origin.RETRIEVED)


def _positives(data: Path, sources: Sequence[str]) -> dict[str, list[str]]:
    """Attacks by source: all of one left out of training, or else the families of variants that are kept apart."""
    found: dict[str, list[str]] = {}
    for row, part in jailbreaks(data):
        if row["source"] in sources or (not sources and part == "test"):
            found.setdefault(row["source"], []).append(row["text"][:4000])
    return {source: random.Random(3).sample(texts, min(len(texts), 150)) for source, texts in found.items()}


def _benign(data: Path) -> list[str]:
    drawn = random.Random(4)
    names = ("benign_instructions", "intent_clinc150_val")
    return [row["text"] for name in names for row in drawn.sample(read(data / "guard" / f"{name}.jsonl"), BENIGN // 2)]


def toxicity(encoder: Encoder, data: Path) -> dict[str, Any]:
    """Area under the curve on tweets that no training saw."""
    rows = read(data / "guard" / "toxicity_tweets.jsonl")[9000:]
    rows = random.Random(5).sample(rows, min(len(rows), 1000))
    scores = _scores(encoder, [row["text"] for row in rows], toxicities)
    labels = np.array([row["label"] for row in rows])
    order = np.argsort(np.argsort(scores)) + 1
    positive = int(labels.sum())
    area = (order[labels == 1].sum() - positive * (positive + 1) / 2) / max(positive * (len(rows) - positive), 1)
    return {"tweets": len(rows), "harmless": len(rows) - positive, "auc": round(float(area), 4)}


def _scores(encoder: Encoder, texts: Sequence[str], guard: Any = injections, origin: Origin = Origin.USER) -> Any:
    """As the guard scores what `origin` wrote."""
    with tempfile.TemporaryDirectory() as home:
        built = guard.build(guard.Options(), testing.tools(Path(home), encoder=lambda: encoder))
        return np.array(asyncio.run(built.scores(texts, origin)))


def cleared(encoder: Encoder, data: Path, words: Path | None) -> dict[str, Any]:
    """What the first tier costs (32 tokens), and which share of parts it spares the encoder."""
    text, spent = " ".join(["card"] * 30), []
    for _ in range(500):
        begun = time.perf_counter()
        encoder.glance(text)
        spent.append((time.perf_counter() - begun) * 1e3)
    texts = {"benign": _benign(data), "attacks": [text for found in _positives(data, ()).values() for text in found]}
    if words:
        texts["trigger words"] = [row["text"] for row in read(words) if row["label"] == 0]
    parts = {name: [part for text in found for part in encoder.glance(text)] for name, found in texts.items()}
    shares = {name: round(statistics.mean(not part.doubtful for part in found), 4) for name, found in parts.items()}
    return {"milliseconds": round(statistics.median(spent), 3), "cleared": shares}


def _share(scores: Any, over: float) -> float:
    return round(float((scores > over).mean()), 4)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--heads", type=Path, default=HEADS)
    parser.add_argument("--left", nargs="*", default=[], metavar="DIR=SOURCES")
    parser.add_argument("--words", type=Path, default=Path(__file__).with_name("guard_words.jsonl"))
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args(argv)
    if missing := [name for name in SETS if not (chosen.data / "guard" / f"{name}.jsonl").is_file()]:
        lost, place = ", ".join(missing), chosen.data / "guard"
        print(f"Skipped, {RESULT.name} left as it was: no {lost} in {place} (give --data). "
              "What training left out of these is measured; guards.py scores other files.")  # fmt: skip
        return
    encoder = Encoder.load(HOME, heads=chosen.heads)
    found = {"milliseconds_32_tokens": timed(encoder), "personal": personal(encoder, chosen.data)}
    found["first_tier"] = cleared(encoder, chosen.data, chosen.words)
    found["toxicity"] = toxicity(encoder, chosen.data)
    found["injection"] = injection(encoder, chosen.data, (), chosen.words)
    found["documents"] = documents(encoder, chosen.data, ())
    encoder.close()
    for one in chosen.left:
        folder, _, sources = one.partition("=")
        encoder = Encoder.load(HOME, heads=Path(folder))
        left = sources.split(",")
        found[f"injection without {sources}"] = injection(encoder, chosen.data, left, chosen.words)
        found[f"documents without {sources}"] = documents(encoder, chosen.data, left)
        encoder.close()
    print(json.dumps(found, indent=1))
    chosen.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
