"""SECURITY.md names every risk of both OWASP lists, and only tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))
LLM = (
    "Prompt Injection", "Sensitive Information Disclosure", "Supply Chain", "Data and Model Poisoning",
    "Improper Output Handling", "Excessive Agency", "System Prompt Leakage", "Vector and Embedding Weaknesses",
    "Misinformation", "Unbounded Consumption",
)  # fmt: skip
API = (
    "Broken Object Level Authorization", "Broken Authentication", "Broken Object Property Level Authorization",
    "Unrestricted Resource Consumption", "Broken Function Level Authorization",
    "Unrestricted Access to Sensitive Business Flows", "Server Side Request Forgery", "Security Misconfiguration",
    "Improper Inventory Management", "Unsafe Consumption of APIs",
)  # fmt: skip
RISKS = [
    *(f"LLM{i:02}:2025 {title}" for i, title in enumerate(LLM, 1)),
    *(f"API{i}:2023 {title}" for i, title in enumerate(API, 1)),
]


@cache
def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("named", NAMED)
def test_what_is_named_exists(named: str):
    file, _, function = named.partition("::")
    assert (ROOT / file).is_file(), f"SECURITY.md names {file}"
    assert not function or function in functions(ROOT / file), f"SECURITY.md names {named}"


@pytest.mark.parametrize("risk", RISKS)
def test_every_risk_has_a_row_with_a_test_or_says_why_not(risk: str):
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| {risk} |")]
    assert len(rows) == 1, f"one row for {risk}"
    _, _, holds, tests, gap, _ = rows[0].split("|")
    assert (holds.strip() and "`tests/" in tests) or gap.strip().startswith("not covered")
