"""The docs are true: their links lead somewhere, their examples run, their generated pages are fresh."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from trimtab.settings import parse
from trimtab.workflow import define

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language):
    return [
        pytest.param(code, id=f"{page.relative_to(ROOT)}:{i}")
        for page in PAGES
        for i, (name, code) in enumerate(FENCE.findall(page.read_text("utf-8")))
        if name == language
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("code", blocks("python"))
def test_python_examples_run(code, tmp_path, monkeypatch, gateway_env):
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace("http://127.0.0.1:8080", gateway_env), "example", "exec"), {"__name__": "__main__"})  # noqa: S102


@pytest.mark.parametrize("code", blocks("toml"))
def test_toml_examples_are_settings_or_flows(code, tmp_path):
    table = tomllib.loads(code)
    if "step" in table:
        define.parse(table)
    else:
        parse(table, folder=tmp_path, home=tmp_path, name="example", secrets={})


@pytest.mark.parametrize("name", ["errors.md", "kinds.md"])
def test_generated_pages_are_fresh(name):
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = ROOT / "docs" / "reference" / name
    assert page.read_text("utf-8") == module.PAGES[name](), "run: python docs/generate.py"


def test_every_page_is_reached_from_the_index():
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        where = str(page.relative_to(ROOT / "docs"))
        assert where == "README.md" or where.startswith("adr/") or where in index, (
            f"docs/README.md does not link {where}"
        )
