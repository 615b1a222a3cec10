"""The difficulty head: what a fit learns, a folder that comes back or is refused, and what the shipped one tells."""

import numpy as np
import pytest

from trimtab.encode.encoder import Encoder
from trimtab.errors import ConfigError
from trimtab.odds import difficulty
from trimtab.odds.about import about

HARD = (
    "Let R be a commutative Noetherian ring and let x, y in R be a regular sequence. Find the dimension of the Ext "
    "group of degree 2 of R/(x, y) over R.\nA. 0\nB. 1\nC. 2\nD. 3\nE. 4\nF. 5\nG. 6\nH. 7\nI. 8\nJ. 9"
)
EASY = "Tom has 3 apples and buys 4 more. How many apples does he have?"


def made(seed: int = 1) -> tuple[difficulty.Difficulty, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    rows = random.normal(0, 1, (400, 6))
    wrong = 1 / (1 + np.exp(-2 * rows[:, 0]))
    return difficulty.fitted(rows, wrong, (6,)), rows, wrong


def test_a_fit_tells_the_share_that_is_wrong():
    head, rows, wrong = made()
    assert np.corrcoef(head.chance(rows), wrong)[0, 1] > 0.95
    assert head.chance(rows).mean() == pytest.approx(wrong.mean(), abs=0.03)


def test_a_head_comes_back_and_a_changed_one_is_refused(tmp_path):
    head, rows, _ = made()
    head.save(tmp_path, {"licence": "Apache-2.0"})
    assert np.allclose(difficulty.Difficulty.load(tmp_path).chance(rows), head.chance(rows), atol=0.01)
    (tmp_path / "difficulty.npz").write_bytes(b"")
    with pytest.raises(ConfigError, match="sealed"):
        difficulty.Difficulty.load(tmp_path)


def test_the_shipped_head_tells_an_easy_question_from_a_hard_one():
    encoder = Encoder.load()
    hard, easy = (about(row, text) for row, text in zip(encoder.embed_now([HARD, EASY]), (HARD, EASY), strict=True))
    encoder.close()
    assert hard.difficulty > easy.difficulty + 0.2
    assert hard.likeliest()["field"] == "math"
    assert sum(easy.subject.values()) == pytest.approx(1)
