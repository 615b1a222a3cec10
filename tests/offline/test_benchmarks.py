"""A benchmark without its data says so, is skipped, and leaves the figures that are there as they were."""

import importlib.util
import inspect
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """Loads a benchmark's file, and calls its `main` with a folder that has no data."""

    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [name, "--data", str(tmp_path / "nothing")])
        return module

    return load


@pytest.mark.parametrize("name", ["starter", "reader", "retrieval", "decide", "grounding", "routing"])
async def test_all_of_it_is_skipped(benchmark, name, capsys):
    result = FOLDER / "results" / f"{name}.json"
    before = result.read_bytes(), result.stat().st_mtime_ns
    done = benchmark(name).main()
    if inspect.isawaitable(done):
        await done
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"Skipped, {name}.json left as it was: no ")
    assert "nothing" in line
    assert (result.read_bytes(), result.stat().st_mtime_ns) == before


@pytest.mark.parametrize(
    ("name", "small"),
    [("guards", {"TEXTS": {"one": "Hello."}, "LENGTHS": (8,)}), ("encoder", {"LENGTHS": (16,)})],
)
def test_what_needs_no_data_is_shown_and_not_kept(benchmark, name, small, capsys, monkeypatch, tmp_path):
    module = benchmark(name)
    for constant, value in small.items():
        monkeypatch.setattr(module, constant, value)
    kept = tmp_path / "kept.json"
    kept.write_text("as it was")
    monkeypatch.setattr(module, "RESULT", kept)
    module.main()
    *shown, last = capsys.readouterr().out.splitlines()
    assert len(shown) > 2
    assert "skipped, kept.json" in last
    assert kept.read_text() == "as it was"
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--out", str(tmp_path / "asked.json")])
    module.main()
    assert (tmp_path / "asked.json").is_file()
    assert kept.read_text() == "as it was"
