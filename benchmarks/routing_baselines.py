"""Other people's routers on our encoder and splits: what `benchmarks/routing.py` holds ours against.

Each takes the rows it may learn from and those it is to rank, and gives a number a row: the higher, the more the large
model is to be asked, less the training rows' mean (see `routing.fit`). They are written down from their papers, on the
house encoder instead of their own, so the figures compare ideas, not products. RouteLLM's BERT router is not among
them: it fine-tunes an encoder, which takes torch and, five times over, more minutes than this benchmark may.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from trimtab.odds import ridge

Case = dict[str, Any]
Score = Callable[[Case, Case], np.ndarray]
STEPS, RATE, WIDTH = 200, 0.01, 64


def neighbours(train: Case, test: Case, k: int = 40) -> np.ndarray:
    """The mean gain of the k nearest questions (the "simple kNN" of Li 2025)."""
    like = test["embedding"] @ train["embedding"].T
    return gain(train)[np.argpartition(-like, k, 1)[:, :k]].mean(1) - gain(train).mean()


def clusters(train: Case, test: Case, k: int = 32) -> np.ndarray:
    """Avengers (Zhang et al. 2025): each model's mean in the question's cluster, drawn to the overall mean."""
    rows, rng = train["embedding"], np.random.default_rng(0)
    centres = rows[rng.choice(len(rows), k, replace=False)]
    for _ in range(20):
        at = (rows @ centres.T).argmax(1)
        centres = np.stack([rows[at == one].mean(0) if (at == one).any() else centres[one] for one in range(k)])
        centres /= np.linalg.norm(centres, axis=1, keepdims=True) + 1e-9
    at, won = (rows @ centres.T).argmax(1), gain(train)
    means = np.array([(won[at == one].sum() + 5 * won.mean()) / ((at == one).sum() + 5) for one in range(k)])
    return means[(test["embedding"] @ centres.T).argmax(1)] - won.mean()


def subject(train: Case, test: Case) -> np.ndarray:
    """The mean gain of the question's subject, where the data names one."""
    won = gain(train)
    means = {one: (won[train["label"] == one].sum() + 5 * won.mean()) / ((train["label"] == one).sum() + 5)
             for one in set(train["label"])}  # fmt: skip
    return np.array([means.get(one, won.mean()) for one in test["label"]]) - won.mean()


def carrot(train: Case, test: Case) -> np.ndarray:
    """CARROT (Somerstep et al. 2025): a regression of each model's outcome; prices are the same for every question."""
    targets = np.stack([train["large"], train["small"]], 1)
    fitted, _ = ridge.fit(train["embedding"].astype(float), targets, (train["embedding"].shape[1],))
    large, small = fitted.predict(test["embedding"].astype(float)).T
    return large - small - gain(train).mean()


def similarity(train: Case, test: Case) -> np.ndarray:
    """RouteLLM `sw` (Ong et al. 2024): a Bradley-Terry fit weighted by 10^(1 + similarity); of two models a mean."""
    like = test["embedding"] @ train["embedding"].T
    weights = 10.0 ** (1 + like / np.maximum(like.max(1, keepdims=True), 1e-9))
    wins = (gain(train) + 1) / 2
    return weights @ wins / weights.sum(1) - wins.mean()


def factors(train: Case, test: Case) -> np.ndarray:
    """RouteLLM `mf`: a bilinear score of question and model, whose difference is the odds that the large one wins.

    For two models it is w . (W q + b), learnt by gradient steps on the cross entropy of wins (ties are half).
    """
    rng, wins = np.random.default_rng(0), (gain(train) + 1) / 2
    start = {"W": rng.normal(0, 0.05, (train["embedding"].shape[1], WIDTH)), "b": np.zeros(WIDTH),
             "v": rng.normal(0, 0.1, WIDTH), "c": np.zeros(1)}  # fmt: skip

    def slopes(at: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        inner = train["embedding"] @ at["W"] + at["b"]
        wrong = (ridge.sigmoid(inner @ at["v"] + at["c"]) - wins) / len(wins)
        return {"W": train["embedding"].T @ np.outer(wrong, at["v"]), "b": wrong.sum() * at["v"],
                "v": inner.T @ wrong, "c": wrong.sum(keepdims=True)}  # fmt: skip

    at = descended(start, slopes)
    return (test["embedding"] @ at["W"] + at["b"]) @ at["v"]  # without the constant: that is the part's mean


def network(train: Case, test: Case) -> np.ndarray:
    """A network with one hidden layer for both models' outcomes (the MLP router of RouterBench, Hu et al. 2024)."""
    rng, goals = np.random.default_rng(0), np.stack([train["large"], train["small"]], 1)
    width = train["embedding"].shape[1]
    start = {"W": rng.normal(0, width**-0.5, (width, WIDTH)), "b": np.zeros(WIDTH),
             "V": rng.normal(0, WIDTH**-0.5, (WIDTH, 2)), "c": goals.mean(0)}  # fmt: skip

    def slopes(at: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        inner = np.maximum(train["embedding"] @ at["W"] + at["b"], 0)
        wrong = (inner @ at["V"] + at["c"] - goals) / len(goals)
        back = (wrong @ at["V"].T) * (inner > 0)
        return {"W": train["embedding"].T @ back, "b": back.sum(0), "V": inner.T @ wrong, "c": wrong.sum(0)}

    at = descended(start, slopes)
    large, small = (np.maximum(test["embedding"] @ at["W"] + at["b"], 0) @ at["V"] + at["c"]).T
    return large - small - gain(train).mean()


def ranked(train: Case, test: Case) -> np.ndarray:
    """EquiRouter (Lai and Ye 2026): a linear score learnt by a pairwise ranking loss on the models' difference."""
    rng, won = np.random.default_rng(0), gain(train)
    rows = np.concatenate([train["embedding"], train["facts"] / 4], 1)
    more, less = (np.flatnonzero(won > won.mean()), np.flatnonzero(won < won.mean()))
    up, down = rng.choice(more, 4000), rng.choice(less, 4000)
    apart = rows[up] - rows[down]
    at = descended({"w": np.zeros(rows.shape[1])},
                   lambda at: {"w": -apart.T @ ridge.sigmoid(-(apart @ at["w"])) / len(apart)})  # fmt: skip
    return np.concatenate([test["embedding"], test["facts"] / 4], 1) @ at["w"]


def frugal(train: Case, test: Case) -> np.ndarray:
    """FrugalGPT (Chen et al. 2023): climb where a scorer of question and answer doubts the small model's answer.

    Its DistilBERT is here a regression on the question's embedding and the words of the answer.
    """
    blocks = ("said", "embedding")
    fitted, _ = ridge.fit(joined(train, blocks), train["small"][:, None], widths(train, blocks))
    return train["small"].mean() - fitted.predict(joined(test, blocks))[:, 0]


def cascade(train: Case, test: Case) -> np.ndarray:
    """Cascade routing (Dekoninck et al. 2024): both models' quality before, the small one's again after its answer."""
    before = ("embedding",)
    fitted, _ = ridge.fit(joined(train, before), train["large"][:, None], widths(train, before))
    return fitted.predict(joined(test, before))[:, 0] - train["large"].mean() + frugal(train, test)


QUESTION: dict[str, Score] = {
    "kNN": neighbours, "Avengers-style clusters": clusters, "subject label": subject, "CARROT": carrot,
    "RouteLLM sw": similarity, "RouteLLM mf": factors, "MLP": network, "EquiRouter ranking loss": ranked,
}  # fmt: skip
ANSWER: dict[str, Score] = {"FrugalGPT scorer": frugal, "cascade routing": cascade}


def gain(case: Case) -> np.ndarray:
    return case["large"] - case["small"]


def joined(case: Case, blocks: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([case[block] for block in blocks], 1).astype(float)


def widths(case: Case, blocks: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(case[block].shape[1] for block in blocks)


def descended(at: dict[str, np.ndarray], slopes: Callable[[Any], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Adam (Kingma and Ba 2015) with a little weight decay, on all rows at a time."""
    first = {name: np.zeros_like(value) for name, value in at.items()}
    second = {name: np.zeros_like(value) for name, value in at.items()}
    for step in range(1, STEPS + 1):
        for name, slope in slopes(at).items():
            slope = slope + 1e-3 * at[name]
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.999 * second[name] + 0.001 * slope**2
            size = np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
            at[name] = at[name] - RATE * first[name] / (1 - 0.9**step) / size
    return at
