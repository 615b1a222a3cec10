"""Heads: what is loaded and refused, what training and calibration do, and what the shipped banking skill holds."""

import json
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from trimtab.encode import encoder as house
from trimtab.encode.encoder import VIEWS
from trimtab.encode.head import Head, Scope
from trimtab.encode.sealed import seal
from trimtab.errors import ConfigError
from trimtab.train import head as training
from trimtab.train.head import Part

BANKING = Path(house.HOME).parents[1] / "answer" / "skills" / "banking77"
QUESTIONS = {
    "My new card has still not come in the mail, when will it be here?": "card_arrival",
    "I want to choose another PIN for my card": "change_pin",
    "The cash machine kept my card": "card_swallowed",
    "Somebody stole my phone": "lost_or_stolen_phone",
    "Please close my account for good": "terminate_account",
    "I was charged two times for one purchase": "transaction_charged_twice",
    "How old must my daughter be to have an account with you?": "age_limit",
    "I can't remember my passcode": "passcode_forgotten",
}
ELSEWHERE = [
    "Write a haiku about autumn leaves",
    "What is the boiling point of nitrogen?",
    "Translate good morning into Portuguese",
    "def f(x): return x ** 2",
    "my dog has fleas, which shampoo helps?",
    "",
]


@pytest.fixture(scope="module")
def encoder():
    made = house.Encoder.load()
    yield made
    made.close()


@pytest.fixture(scope="module")
def banking():
    return Head.load(BANKING)


def blobs(seed: int, n: int = 240, k: int = 3, dims: int = 8, spread: float = 0.35) -> Part:
    """`k` noisy unit directions (the first `k` axes); at this spread they overlap a little."""
    random = np.random.default_rng(seed)
    middle = np.eye(k, dims)
    y = np.arange(n) % k
    x = middle[y] + random.normal(0, spread, (n, dims))
    return Part((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), y, dims)


def elsewhere(seed: int):
    """The same around other axes, which no label has."""
    return np.roll(blobs(seed).x, 4, axis=1)


LABELS = ("a", "b", "c")


def fit(part: Part, penalty: float = 1e-4) -> Head:
    return training.fit(part, LABELS, penalty, *training.known(part, seed=1))


def plain(labels: tuple[str, ...], weights, **changed) -> Head:
    """A head of given weights, whose centres are the axes."""
    centres = np.eye(len(weights), dtype=np.float32)
    given = {
        "bias": np.zeros(len(labels), np.float32),
        "centres": centres,
        "owners": np.arange(len(weights)) % len(labels),
    }
    return Head(labels=labels, weights=np.float32(weights), **(given | changed))


def test_fit_learns_what_can_be_learned():
    fresh = blobs(2, n=2400)
    best = (fresh.x[:, :3].argmax(axis=1) == fresh.y).mean()  # the rule that knows the true axes
    assert 0.8 < best < 0.99
    assert training.accuracy(fit(blobs(1)), fresh) > best - 0.05


def test_fit_is_repeatable():
    first, second = (fit(blobs(1)) for _ in range(2))
    assert np.array_equal(first.weights, second.weights)


def test_probabilities_sum_to_one_even_for_extreme_logits():
    head = plain(LABELS, np.eye(3) * 1e6)
    found = head.probabilities(np.float32([[1, 0, 0], [-1, 1, 1]]))
    assert np.allclose(found, [[1, 0, 0], [0, 0.5, 0.5]])


def test_temperature_mends_an_overconfident_head():
    sure = fit(blobs(1), 0.0)
    sure = replace(sure, weights=sure.weights * 8, bias=sure.bias * 8)
    mended = training.calibrated(sure, blobs(2))
    assert mended.temperature > 1
    assert training.log_loss(mended, blobs(3)) < training.log_loss(sure, blobs(3))
    assert training.calibration_error(mended, blobs(3)) < training.calibration_error(sure, blobs(3))
    assert training.accuracy(mended, blobs(3)) >= training.accuracy(sure, blobs(3)) - 0.02  # votes may turn a few


def test_calibration_error_by_hand():
    head = plain(("a", "b"), [[1, 0]])
    x = np.float32([[np.log(9)]] * 4)  # P(a) = 0.9, four times
    assert training.calibration_error(head, Part(x, np.array([0, 0, 0, 1]), 1)) == pytest.approx(0.15, abs=1e-5)


def test_split_is_stratified_disjoint_complete_and_seeded():
    y = np.repeat(np.arange(5), [10, 20, 40, 80, 160])
    parts = training.split(y, seed=3)
    assert sorted(np.concatenate(parts)) == list(range(len(y)))
    assert [np.bincount(y[part]).tolist() for part in parts[1:]] == [[1, 2, 4, 8, 16]] * 2
    assert all(np.array_equal(a, b) for a, b in zip(parts, training.split(y, seed=3), strict=True))
    assert not np.array_equal(parts[2], training.split(y, seed=4)[2])


def test_scope_keeps_the_inside_and_rejects_the_outside():
    head = fit(blobs(1))
    head = training.scoped(head, blobs(2), elsewhere(4))
    assert training.rejected(head, blobs(2).x) == pytest.approx(0.05, abs=0.01)
    assert training.rejected(head, elsewhere(5)) > 0.6


def test_votes_are_shares_and_the_nearest_centre_has_the_most():
    found = np.exp(plain(LABELS, np.zeros((3, 3))).votes(np.float32([[0.9, 0.4, 0.1], [0, 0, 1]])))
    assert np.allclose(found.sum(axis=1), 1)
    assert found.argmax(axis=1).tolist() == [0, 2]


def test_a_share_of_votes_decides_where_the_map_is_blind():
    blind = plain(LABELS, np.zeros((3, 3)), share=0.3)
    assert blind.probabilities(np.float32([[0, 1, 0]]))[0].argmax() == 1


def test_votes_are_taken_only_where_they_help():
    square = blobs(2)
    blind = replace(fit(blobs(1)), weights=np.zeros((8, 3), np.float32))
    assert training.calibrated(blind, square).share == training.SHARE
    wrong = replace(fit(blobs(1)), owners=(fit(blobs(1)).owners + 1) % 3)
    assert training.calibrated(wrong, square).share == 0


def test_outside_without_scope_says_what_to_do():
    with pytest.raises(ConfigError, match="--outside"):
        fit(blobs(1)).outside(blobs(1).x)


def test_rows_leave_labels_out_and_survive_line_separators_in_texts(tmp_path):
    file = tmp_path / "rows.jsonl"
    kept = {"text": "one\u2028two", "label": "a"}
    file.write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in (kept, {"text": "x", "label": "b"})) + "\n"
    )
    assert training.rows([file], without=frozenset("b")) == (["one\u2028two"], ["a"])


@pytest.fixture
def saved(tmp_path):
    head = training.scoped(training.calibrated(fit(blobs(1)), blobs(2)), blobs(2), elsewhere(4))
    head.save(tmp_path, {"licence": "Apache-2.0"})
    return tmp_path, head


def test_a_head_comes_back_as_it_was_saved(saved):
    folder, head = saved
    again = Head.load(folder)
    assert again.labels == LABELS
    assert np.allclose(again.probabilities(blobs(3).x), head.probabilities(blobs(3).x), atol=0.01)  # 16 bits
    assert np.allclose(again.outside(blobs(3).x), head.outside(blobs(3).x), atol=0.02)
    assert again.scope.limit == pytest.approx(head.scope.limit, rel=1e-6)


def change(folder, **arrays):
    """Change the arrays of a saved head and seal it anew: wrong inside, whole outside."""
    with np.load(folder / "head.npz") as held:
        np.savez(folder / "head.npz", **{**held, **arrays})
    seal(folder, ["head.npz", "labels.json"], {})


@pytest.mark.parametrize(
    "arrays",
    [
        {"bias": np.zeros(4, np.float32)},
        {"weights": np.zeros((8, 2), np.float32)},
        {"weights": np.full((8, 3), np.nan, np.float32)},
        {"share": np.float32(1.5)},
        {"owners": np.full(96, 3, np.int16)},
        {"owners": np.zeros(2, np.int16)},
        {"strange": np.float32(1)},
        {"temperature": np.float32(0)},
        {"centres": np.zeros((96, 9), np.float32)},
        {"outside": np.zeros(2, np.float32)},
        {"bias": np.array([{}, {}, {}])},
    ],
    ids=lambda arrays: next(iter(arrays)),
)
def test_a_head_that_does_not_fit_is_refused(saved, arrays):
    change(saved[0], **arrays)
    with pytest.raises(ConfigError, match="cannot be used"):
        Head.load(saved[0])


@pytest.mark.parametrize("labels", ["[]", '["a", "b"]', '["a", "a", "b"]', "{}", "[1, 2, 3]", "x"])
def test_labels_that_do_not_fit_are_refused(saved, labels):
    (saved[0] / "labels.json").write_text(labels)
    seal(saved[0], ["head.npz", "labels.json"], {})
    with pytest.raises(ConfigError, match="cannot be used"):
        Head.load(saved[0])


def test_a_changed_banking_label_is_refused(tmp_path):
    folder = shutil.copytree(BANKING, tmp_path / "banking77")
    labels = folder / "labels.json"
    labels.write_text(labels.read_text().replace("lost_or_stolen_card", "card_arrival_2"))
    with pytest.raises(ConfigError, match=r"labels\.json is not the file that was sealed"):
        Head.load(folder)


def test_banking_knows_plain_questions(encoder, banking):
    given = banking.probabilities(encoder.views_now(list(QUESTIONS)))
    assert {text: banking.labels[row.argmax()] for text, row in zip(QUESTIONS, given, strict=True)} == QUESTIONS


def test_banking_keeps_its_own_and_rejects_the_rest(encoder, banking):
    limit = banking.scope.limit
    assert (banking.outside(encoder.views_now(list(QUESTIONS))) <= limit).mean() >= 0.75
    assert (banking.outside(encoder.views_now(ELSEWHERE)) > limit).all()


def test_every_banking_label_has_a_reply_and_no_other_has():
    replies = tomllib.loads((BANKING / "replies.toml").read_text("utf-8"))
    assert set(replies) == set(json.loads((BANKING / "labels.json").read_text()))
    assert len(replies) == 77


def test_replies_are_short_and_hold_no_number_to_call_and_no_link():
    replies = tomllib.loads((BANKING / "replies.toml").read_text("utf-8"))
    for label, found in replies.items():
        assert set(found) <= {"reply", "person"}, label
        assert 2 <= len(re.findall(r"[.!?](?: |$)", found["reply"])) <= 5, label
        assert not re.search(r"\d{3}|https?:|www\.|@", found["reply"]), label


def test_a_person_acts_where_money_or_access_is_at_stake():
    replies = tomllib.loads((BANKING / "replies.toml").read_text("utf-8"))
    person = {label for label, found in replies.items() if found.get("person")}
    assert {"compromised_card", "lost_or_stolen_card", "lost_or_stolen_phone", "terminate_account"} <= person
    assert len(person) < 15


def test_the_card_quotes_the_scores_of_the_manifest():
    manifest = json.loads((BANKING / "manifest.json").read_text())
    card = (BANKING / "CARD.md").read_text("utf-8")
    quoted = dict(re.findall(r"\| `(\w+)` \| ([\d.]+) \|", card))
    assert {name: float(value) for name, value in quoted.items()} == manifest["scores"]
    assert all(source.split(",")[0] in card for source in manifest["sources"])


def test_the_banking_head_fits_the_encoder(encoder, banking):
    assert banking.weights.shape == (VIEWS * encoder.dims, 77)
    assert banking.centres.shape[1] == encoder.dims
    assert isinstance(banking.scope, Scope)
