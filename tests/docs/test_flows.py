"""docs/how-to/run-a-workflow.md from top to bottom: its files are written, and its commands run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "run-a-workflow.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# ([\w.-]+)\n")


@pytest.mark.timeout(300)
def test_the_page_works_from_top_to_bottom(tmp_path):
    bin_ = str(Path(sys.executable).parent)
    env = {**os.environ, "HOME": str(tmp_path), "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}"}
    ran = 0
    for language, text in BLOCK.findall(PAGE.read_text("utf-8")):
        if language == "sh":
            words = ["bash", "-euc", text]
            done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (text, done.stdout, done.stderr)
            ran += 1
        else:
            (tmp_path / NAMED.match(text)[1]).write_text(text)
    assert ran >= 5
    assert (tmp_path / "triage.svg").read_text().startswith("<svg")
