"""The built wheel works in a clean environment: only the core's pins, under its size cap, without torch."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CAP = 267_000_000


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A fresh environment with the locked core and our wheel; and a home that holds nothing."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    bare = size(folder / "env")
    pip = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "-r", ROOT / "requirements" / "core.lock")
    run(*pip, "--no-deps", next(folder.glob("*.whl")))
    return folder / "env" / "bin", size(folder / "env") - bare, folder


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.mark.timeout(300)
def test_the_core_install_is_small_and_answers(clean):
    bin_, installed, folder = clean
    assert installed < CAP, f"{installed / 1e6:.0f} MB"
    packages = run(bin_ / "python", "-m", "pip", "list", "--format=json").stdout
    assert not {"torch", "pandas", "litellm", "httpx", "tokenizers"} & {each["name"] for each in json.loads(packages)}
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TRIMTAB_HOME": str(folder / "state")}
    assert run(bin_ / "trimtab", "--version", env=env).stdout.startswith("trimtab ")
    said = run(bin_ / "trimtab", "ask", "--json", "What is 15% of 240?", env=env, cwd=folder)
    assert json.loads(said.stdout)["answered_by"] == "code"
    intent = run(
        bin_ / "trimtab",
        "ask",
        "--json",
        "My card still hasn't arrived, it's been two weeks. What's going on?",
        env=env,
        cwd=folder,
    )
    assert json.loads(intent.stdout)["answered_by"] == "skill"
    page = run(
        bin_ / "trimtab",
        "ask",
        "--json",
        "What are the opening hours of the branches on Saturday?",
        env=env,
        cwd=folder,
    )
    assert json.loads(page.stdout)["answered_by"] == "reader"
