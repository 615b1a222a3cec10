"""`benchmarks/routing.py` on other people's files: it scores what is there, and says what is not."""

import random
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
LACK = "have no question or choices that cannot be read"


@pytest.fixture
def benchmark(monkeypatch):
    """The benchmark's module of a name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return __import__


def drawn(count, small, large, seed=0, **more):
    """Rows of which the small model is right on short questions, the large one nearly always."""
    dice, rows = random.Random(seed), []
    for at in range(count):
        long = dice.random() < 0.5
        asked = f"Number {seed}-{at}. " + ("Prove this for all primes at length. " * 3 if long else "Add one.")
        rows.append({"question": asked, f"ok:{small}": dice.random() < (0.2 if long else 0.9),
                     f"ok:{large}": dice.random() < 0.95} | {name: of(at) for name, of in more.items()})  # fmt: skip
    return rows


def test_a_column_of_something_else_and_a_row_without_a_question_are_left_out_with_a_word(benchmark):
    rows = drawn(4, "foo-9b", "bar-90b", **{"chars:foo-9b": lambda _: "many", "pred:foo-9b": lambda _: 7})
    rows[1]["question"] = None
    rows[2]["ok:foo-9b"], rows[3]["ok:bar-90b"] = "yes", float("nan")
    said = []
    found = benchmark("routing_rows").checked(rows, "mine.parquet", said.append)
    assert said == [
        f"Left out of mine.parquet: 1 of 4 rows, which {LACK}; the first is row 2.",
        "Left out of mine.parquet, column ok:foo-9b: in row 3 'yes' is no outcome from 0 to 1.",
        "Left out of mine.parquet, column chars:foo-9b: in row 1 'many' is no length.",
    ]
    assert [row["ok:bar-90b"] for row in found] == [1, 1, None]
    assert {*found[0]} == {"question", "ok:bar-90b", "pred:foo-9b"}
    assert found[0]["pred:foo-9b"] == "7"
    assert benchmark("routing_rows").checked([{"question": 7}], "x", said.append) == []
    assert said[-1] == "Skipped x: none of its 1 rows has a question."


def test_outcomes_without_a_prefix_are_those_of_the_models_that_their_columns_name(benchmark):
    rows = [{"qid": "a", "question": "Why?", "split": "train", "foo-9b": 0.5, "bar-90b": 1.0}] * 3
    found = benchmark("routing_rows").checked(rows, "x", pytest.fail)
    assert benchmark("routing_apart").models(found) == {"foo-9b": 0.5, "bar-90b": 1.0}


@pytest.mark.parametrize("right", [(1, 1), (0, 0), (1, 0)])
def test_where_there_is_no_gap_none_is_shared_out(benchmark, right):
    rows = [dict(zip(("ok:foo-9b", "ok:bar-90b"), right, strict=True))] * 20
    about, unscored = {"small": "foo-9b", "large": "bar-90b"}, benchmark("routing_apart").unscored
    assert "there is no gap to win: on 20 rows" in unscored(rows, about)
    assert not unscored([*rows, *[{"ok:foo-9b": 0, "ok:bar-90b": 1}] * 21], about)
    assert "no row has the outcomes of both" in unscored([], about)


def test_a_file_of_another_name_is_known_by_its_models_and_columns(benchmark, capsys):
    apart = benchmark("routing_apart")
    rows = drawn(9, "mixtral", "gpt4", mixtral_resp=lambda _: "It is 3.")
    (one,) = apart.abouts(Path("mine.parquet"), rows, "")
    assert one[:2] == ("RouteLLM-GSM8K (mine)", "RouteLLM-GSM8K")
    names = ("Meta-Llama-3_1-8B-Instruct", "Meta-Llama-3_1-70B-Instruct", "gemini-1.5-flash-002", "gemini-1.5-pro-002")
    rows = [one | two for one, two in zip(drawn(9, *names[:2]), drawn(9, *names[2:]), strict=True)]
    assert [name for name, _, _ in apart.abouts(Path("a.parquet"), rows, "")] == [
        "MMLU-Pro Llama 8B-70B (a)", "MMLU-Pro flash-pro (a)",
    ]  # fmt: skip
    assert [*apart.abouts(Path("a.parquet"), rows, "mixtral:gpt4")] == []
    assert "Skipped a.parquet: it has no outcomes of gpt4, mixtral" in capsys.readouterr().out


@pytest.mark.parametrize("known", [True, False])
def test_other_files_are_scored_by_routers_that_saw_none_of_their_questions(
    benchmark, monkeypatch, tmp_path, capsys, known
):
    """A pair that a training file has is taught by it, in whatever file it is; its own questions are left out."""
    routing, apart, data = (benchmark(name) for name in ("routing", "routing_apart", "routing_data"))
    pair = ("foo-9b", "bar-90b") if known else ("mixtral", "gpt4")
    taught = drawn(300, *pair, seed=1)
    files = {"train/routellm_mmlu_mixtral_gpt4": taught, "new/mine": drawn(200, "foo-9b", "bar-90b", seed=2),
             "new/again": taught if known else []}  # fmt: skip
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / f"{file}.parquet").touch()

    def rows_of(path, most, say=print):
        return files[path.relative_to(tmp_path).with_suffix("").as_posix()][:most] if path.exists() else []

    for module in (apart, data):
        monkeypatch.setattr(module, "rows_of", rows_of)
    argv = ["--data", tmp_path / "new", "--train", tmp_path / "train", "--cache", tmp_path, "--out", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", ["routing", *map(str, argv)])
    routing.main()
    said = capsys.readouterr().out
    assert "there is no text of foo-9b, so that only the question is seen" in said
    word = "taught by routellm_mmlu_mixtral_gpt4.parquet" if known else "pair unseen"
    (row,) = [line for line in said.splitlines() if line.startswith(f"| mine: foo-9b to bar-90b ({word}) | ours, que")]
    assert float(row.split("|")[4]) > 0.6
    if known:
        assert "again: foo-9b to bar-90b: not scored: ours, question (fewer than 100 other questions" in said
