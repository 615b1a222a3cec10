"""What routing keeps and spends on recorded outcomes: from the question, from the small answer, with other opinions.

    python benchmarks/routing.py [--data DIR] [--train DIR] [--pair SMALL:LARGE] [--only Llama,flash] [--rows 1500]

Needs pyarrow (the data is parquet), which is no dependency of Trimtab. Rows of `--train` are split in five by SHA-256
of the question; each is scored by routers that saw the other four parts (of its own file). With another `--data DIR`
its files are scored instead, by routers that all rows of `--train` teach: routing_apart.py. Of a file with more than
`--rows` those of the lowest hash are scored. Results of cases that were not asked for stay in the file. APGR is the
mean share of the quality gap between the models that is won, over all shares of large calls; CPT80 the share of large
calls at which 80 % of the gap is won; +- is the standard deviation over 200 bootstrap samples, empty where one of them
has no gap. Costs are shares of what always asking the large model costs.
"""

import argparse
import json
import os
import random
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import routing_apart
import routing_band
import routing_baselines as baselines
import routing_figures as figures
import routing_floor as floor
from routing_data import CASES, FOLDS, Case, Embedded, features, part, read
from trimtab.encode.encoder import Encoder
from trimtab.odds import fitted, side, subject
from trimtab.route import _contract

TRAIN = Path("../shared/data/routing")
RESULT = Path(__file__).parent / "results" / "routing.json"
QUERY = ("subject", "field", "embedding", "facts", "words")
ROUTERS: dict[str, tuple[str, ...]] = {
    "ours, question": QUERY,
    "ours, small answer seen": ("answer", *QUERY),
    "ours, and one cheap opinion": ("opinion 0", "answer", *QUERY),
    "ours, and two opinions": ("opinion 0", "opinion 1", "answer", *QUERY),
}
SHOWN = ("rows", "apgr", "sd", "cpt50", "cpt80", "cpt95", "cpt100", "best", "auroc", "ece")
ONBOARD = (100, 200, 300, 500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=TRAIN, help="files that are scored")
    parser.add_argument("--train", type=Path, default=TRAIN, help="files that routers are trained on")
    parser.add_argument("--pair", default="", help="SMALL:LARGE of another --data, as its columns name them")
    parser.add_argument("--cache", type=Path, default=Path(".trimtab/routing"), help="embeddings, between runs")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--only", default="", help="parts of the names of the cases to run, with commas")
    parser.add_argument("--rows", type=int, default=1500, help="rows of one file that are scored, at most")
    parser.add_argument("--taught", type=int, default=8000, help="of one file that teach another --data, at most")
    asked = parser.parse_args()
    if not any(asked.data.glob("*.parquet")):
        print(f"Skipped, {RESULT.name} left as it was: no recorded outcomes in {asked.data} (give --data).")
        return
    if not any((asked.train / f"{about['file']}.parquet").exists() for about in CASES.values()):
        print(f"Skipped, {RESULT.name} left as it was: no outcomes to train on in {asked.train} (give --train).")
        return
    if asked.data.resolve() != asked.train.resolve():
        apart(asked)
        return
    began, wanted = time.monotonic(), tuple(asked.only.split(","))
    print(f"| case | router | {' | '.join(SHOWN)} |\n|---|---|{'---|' * len(SHOWN)}")
    cases = read(asked.data, asked.cache, asked.rows, wanted)
    shown, scores = dict[str, Any](), dict[str, Any]()
    for name, case in cases.items():
        shown[name], scores[name] = table(name, case)
    shown |= {"subjects": subjects(cases), "unseen": unseen(cases), "contract": contract(cases, scores)}
    shown |= {"floor": floors(cases), "onboarding": onboarding(cases),
              "flips": flips(cases, asked.cache), "latency": latency(cases)}  # fmt: skip
    spent = {"seconds": round(time.monotonic() - began), "cpu_seconds": round(sum(os.times()[:2])),
             "load": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}  # fmt: skip
    before = json.loads(asked.out.read_text()) if asked.out.exists() and asked.only else {}
    for name, rows in shown.items():
        before[name] = before.get(name, {}) | rows
    asked.out.write_text(json.dumps(before | {"run": spent}, indent=1) + "\n")
    print(spent)


def apart(asked: argparse.Namespace) -> None:
    """Score other files, whose rows train nothing."""
    print(f"| case | router | {' | '.join(SHOWN)} |\n|---|---|{'---|' * len(SHOWN)}", flush=True)
    table = read(asked.train, asked.cache, asked.taught, tuple(asked.only.split(",")))
    shown: dict[str, Any] = {}
    for name, tested in routing_apart.cases(asked.data, asked.cache, asked.rows, asked.pair).items():
        case, (given, word) = tested.case, routing_apart.taught(tested, asked, table)
        random_scores = np.random.default_rng(0).random(len(case["small"]))
        rows = {"random": figures.scored(case["small"], case["large"], random_scores, None)}
        for router, blocks in ROUTERS.items():
            found = routing_apart.scored(case, given, blocks, fit, baselines.joined)
            if isinstance(found, str):
                print(f"{name}: not scored: {router} ({found}).")
            else:
                rows[router] = figures.scored(case["small"], case["large"], *found)
        for router, row in rows.items():
            show(f"{name} ({word})" if word else name, router, row)
        shown[name] = rows
    if not shown:
        raise SystemExit(f"{asked.data} has no two models with outcomes (ok:NAME columns) of which one is better.")
    if asked.out != RESULT:
        asked.out.write_text(json.dumps(shown, indent=1) + "\n")
    else:
        print(f"\n{RESULT.name} left as it was: these are other files (give --out to keep this).")


def table(name: str, case: Case) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The figures of each router, and its scores (the higher, the more the large model is to be asked)."""
    small, large, rng = case["small"], case["large"], np.random.default_rng(0)
    found = {
        "random": (rng.random(len(small)), None, 0), "oracle": (large - small, None, 0),
        **{router: (crossed(case, score), None, 0) for router, score in baselines.QUESTION.items()},
        **({router: (crossed(case, score), None, 1) for router, score in baselines.ANSWER.items()}
           if "said" in case else {}),
    }  # fmt: skip
    if len(set(case["label"])) < 3:
        del found["subject label"]
    for tries, (router, blocks) in enumerate(ROUTERS.items()):
        if all(block in case for block in blocks):
            both = crossed(case, lambda train, test, blocks=blocks: np.stack(trained(train, test, blocks), 1), 2)
            found[router] = (both[:, 0], both[:, 1], tries)
    shown = {"always small": {"quality": round(float(small.sum() / large.sum()), 3)}, "always large": {"quality": 1.0}}
    if "opinion 0" in case:
        goals = routing_band.band(case, CASES[name]["prices"], QUERY, figures.GOALS)
        shown["ours, one opinion where it is worth its price"] = {"goals": goals}
        show(name, "ours, one opinion where it is worth its price", {"goals": goals})
    for router, (score, right, tries) in found.items():
        costs = figures.costs(small, large, score, case["fold"], CASES[name]["prices"], tries)
        shown[router] = figures.scored(small, large, score, right) | {"goals": costs}
        show(name, router, shown[router])
    return shown, {router: score for router, (score, _, _) in found.items()}


def show(name: str, router: str, row: dict[str, Any]) -> None:
    print(f"| {name} | {router} | {' | '.join(str(row.get(figure, '')) for figure in SHOWN)} |", flush=True)
    if goals := row.get("goals"):
        told = [f"{goal}: cost {one['cost']}, kept {one['quality']}" for goal, one in goals.items()]
        print(f"|  | at the goal of | {'; '.join(told)} |", flush=True)


def trained(train: Case, test: Case, blocks: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(what a climb is expected to gain, P(the small one is right)) for `test`, from `train` alone."""
    made, rows = fit(train, blocks), baselines.joined(test, blocks)
    return made.ranks(rows), made.chance(rows)


def fit(train: Case, blocks: tuple[str, ...]) -> side.Side:
    """The odds of the product, from blocks of features."""
    options = fitted.options(len(blocks) - len(QUERY)) if blocks[-len(QUERY) :] == QUERY else ()
    widths = baselines.widths(train, blocks)
    return side.fitted(baselines.joined(train, blocks), train["small"], train["large"], widths, options)


def crossed(case: Case, score: Any, columns: int = 1) -> np.ndarray:
    """Scores of all rows, each by a router that saw the other parts."""
    found = np.zeros((len(case["small"]), columns))
    for fold in range(FOLDS):
        inside, out = case["fold"] != fold, case["fold"] == fold
        if out.any():
            found[out] = score(part(case, inside), part(case, out)).reshape(-1, columns)
    return found[:, 0] if columns == 1 else found


# What is beside the table.


def subjects(cases: dict[str, Case]) -> dict[str, Any]:
    """How often the head that ships calls the subject or the field rightly, where the data names one for each row."""
    found, head = {}, subject.shipped()
    for (name, case), (group, names) in product(
        cases.items(), (("subject", head.subject.names), ("field", head.field.names))
    ):
        if np.isin(case["label"], names).mean() > 0.5:
            right = np.array(names)[case[group].argmax(1)] == case["label"]
            found[f"{name}: {group}"] = round(float(right.mean()), 3)
            print(f"| subjects, {name} | {group} | {right.mean():.3f} right |")
    return found


def unseen(cases: dict[str, Case]) -> dict[str, Any]:
    """Trained on one kind of task, tested on another, none of whose labels was seen."""
    shown = {}
    for source, name in (
        ("GSM8K+MATH Llama 8B-70B", "MMLU-Pro Llama 8B-70B"),
        ("MMLU-Pro Llama 8B-70B", "RouteLLM-GSM8K"),
    ):
        if source not in cases or name not in cases:
            continue
        for router, blocks in (*ROUTERS.items(), ("answer alone", ("answer",)), ("opinion alone", ("opinion 0",)),
                               ("answer and opinion alone", ("opinion 0", "answer"))):  # fmt: skip
            if all(block in cases[one] for block in blocks for one in (source, name)):
                test = cases[name]
                ranks = fit(cases[source], blocks).ranks(baselines.joined(test, blocks))
                row = figures.scored(test["small"], test["large"], ranks, None)
                shown[f"{name} from {source}: {router}"] = row
                show(f"unseen: {name}", router, row)
    return shown


def floors(cases: dict[str, Case]) -> dict[str, Any]:
    """What a router that knows the chances would win, and one that is taught, on outcomes that are drawn."""
    shown = {}
    for name, router in product(("RouteLLM-MMLU", "MMLU-Pro Llama 8B-70B"), (*ROUTERS,)):
        if name in cases and all(block in cases[name] for block in ROUTERS[router]):
            shown[f"{name}, {router}"] = row = floor.router(cases[name], ROUTERS[router])
            print(f"| floor, {name} | {router} | recorded {row['recorded']}, ceiling {row['ceiling']} |", flush=True)
    return shown


def contract(cases: dict[str, Case], scores: dict[str, Any]) -> dict[str, Any]:
    """How often the quality kept on all rows is below 0.9 of the large model's, over draws of 400 calibration rows."""
    found, promise = {}, _contract.Contract(keep=0.9, confidence=0.9)
    for name in ("RouteLLM-GSM8K", "MMLU-Pro Llama 8B-70B"):
        for router, method in product(list(ROUTERS)[1:], ("floor", "threshold", "clt", "betting", "exact")):
            if router not in scores.get(name, {}):
                continue
            case, score = cases[name], -scores[name][router]
            if method == "floor":
                found[f"{name}, {router}"] = row = floor.promise(case, ROUTERS[router], score, promise)
                print(f"| contract, {name} | {router} | {row} |")
                continue
            row = figures.violations(case["small"], case["large"], score, promise, method)
            found[f"{name}, {router}: {method}"] = row
            print(f"| contract, {name} | {router} | {method} | violations {row['violations']}, large {row['large']} |")
    return found


def onboarding(cases: dict[str, Case]) -> dict[str, Any]:
    """APGR by how many labelled outcomes the router was trained on; the mean of 5 draws."""
    shown = {}
    for name in ("RouteLLM-GSM8K", "MMLU-Pro flash-pro"):
        if (case := cases.get(name)) is None:
            continue
        for labels in ONBOARD:
            won = [figures.curve(crossed(case, some(labels, seed)), case["small"], case["large"]).mean()
                   for seed in range(5)]  # fmt: skip
            shown[f"{name}: {labels} labels"] = row = {
                "apgr": round(float(np.mean(won)), 3),
                "sd": round(float(np.std(won)), 3),
            }
            print(f"| onboarding, {name} | {labels} labels | APGR {row['apgr']} +- {row['sd']} |", flush=True)
    return shown


def some(labels: int, seed: int) -> Any:
    def score(train: Case, test: Case) -> np.ndarray:
        at = np.random.default_rng(seed).permutation(len(train["small"]))[:labels]
        return trained(part(train, at), test, ("answer", *QUERY))[0]

    return score


REWORDED = (("How many", "What number of"), ("how many", "what number of"), ("How much", "What amount"),
            ("how much", "what amount"), (" buys ", " purchases "), (" has ", " owns "),
            (" each ", " every "))  # fmt: skip


def flips(cases: dict[str, Case], cache: Path) -> dict[str, Any]:
    """How many decisions by the question change with its wording, where half of the requests go to the large model."""
    if (name := "RouteLLM-GSM8K") not in cases:
        return {}
    case, embedded, dice, shown = cases[name], Embedded(cache), random.Random(0), {}
    train, test = part(case, case["fold"] != 0), part(case, case["fold"] == 0)
    made = fit(train, QUERY)
    changes = {"typos": lambda text: typos(text, dice), "capitals": str.upper, "small letters": str.lower,
               "rewording": replaced}  # fmt: skip

    def decided(case: Case) -> np.ndarray:
        return made.ranks(baselines.joined(case, QUERY))

    before = decided(test)
    middle = np.median(before)
    for change, of in changes.items():
        asked = [of(one) for one in test["asked"]]
        after = decided(features(asked, embedded(asked)))
        changed = float(np.mean((before > middle) != (after > middle)))
        shown[change] = {
            "rows": len(asked),
            "flips": round(changed, 3),
            "correlation": round(float(np.corrcoef(before, after)[0, 1]), 3),
        }
        print(f"| flips, {name} | {change} | {shown[change]['flips']} |", flush=True)
    return shown


def typos(text: str, dice: random.Random) -> str:
    """Two neighbouring letters of one word in ten change places."""
    words = text.split(" ")
    for at, word in enumerate(words):
        if len(word) > 3 and word.isalpha() and dice.random() < 0.1:
            cut = dice.randrange(1, len(word) - 2)
            words[at] = word[:cut] + word[cut + 1] + word[cut] + word[cut + 2 :]
    return " ".join(words)


def replaced(text: str) -> str:
    for one, other in REWORDED:
        text = text.replace(one, other)
    return f"Please solve this. {text}"


def latency(cases: dict[str, Case]) -> dict[str, Any]:
    """Milliseconds of a decision by the question on one core: encoder, features and the odds of two models."""
    if (name := "RouteLLM-GSM8K") not in cases:
        return {}
    case, encoder, took = cases[name], Encoder.load(threads=1), list[float]()
    made = fit(case, QUERY)
    for asked in case["asked"][:220]:
        began = time.perf_counter()
        row = fitted.features(encoder.gist_now([asked])[0], asked)[None]
        made.stays(row)
        made.stays(row)
        took.append((time.perf_counter() - began) * 1e3)
    encoder.close()
    ordered = sorted(took[20:])
    found = {"p50_ms": round(ordered[len(ordered) // 2], 2), "p95_ms": round(ordered[int(len(ordered) * 0.95)], 2),
             "best_ms": round(ordered[0], 2), "load": round(os.getloadavg()[0], 1)}  # fmt: skip
    print(f"| latency | a decision by the question | {found} |")
    return {"question": found}


if __name__ == "__main__":
    main()
