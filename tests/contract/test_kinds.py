"""Every kind of every stage passes its stage's contract suite; a new file in a stage folder is found by itself."""

import msgspec
import pytest

from trimtab import load, testing
from trimtab.errors import ConfigError
from trimtab.types import Span

SUITES = {
    "guard": testing.guards_well,
    "route": testing.routes_well,
    "retrieve": testing.retrieves_well,
    "answer": testing.answers_well,
    "verify": testing.verifies_well,
    "approve": testing.approves_well,
    "record": testing.records_well,
}
KINDS = [(stage, kind) for stage in load.STAGES for kind in load.kinds(stage)]


@pytest.fixture
def given(tmp_path):
    """What a kind without usable defaults is built with."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("# Hours\n\nThe desk is open from 9:00 to 17:00 on weekdays.\n")
    (tmp_path / "said.jsonl").write_text('{"question": "2 + 2", "answer": "4", "model": "m", "source": "test"}\n')
    (tmp_path / "subjects.txt").write_text("\n".join(f"May I open account number {i}?" for i in range(30)))
    return {
        ("guard", "topic"): {"examples": "subjects.txt"},
        ("answer", "openai_http"): {"url": "http://127.0.0.1:9/v1", "model": "m"},
        ("answer", "anthropic_http"): {"url": "http://127.0.0.1:9", "model": "m"},
        ("answer", "recorded"): {"path": "said.jsonl"},
        ("answer", "skill"): {"skill": "banking77"},
        ("retrieve", "hybrid"): {"paths": ["docs"]},
    }


@pytest.mark.parametrize(("stage", "kind"), KINDS)
def test_a_kind_is_one_file_with_frozen_options_and_a_build(stage, kind):
    module = load.kind(stage, kind)
    assert issubclass(module.Options, msgspec.Struct)
    assert module.Options.__struct_config__.frozen
    assert callable(module.build)
    assert module.__doc__
    assert stage != "answer" or callable(module.spec)
    with pytest.raises(ConfigError, match="no_such_option"):
        load.options(stage, kind, {"no_such_option": 1})


@pytest.mark.parametrize(("stage", "kind"), [pair for pair in KINDS if pair != ("answer", "local")])
async def test_a_kind_keeps_the_contract_of_its_stage(stage, kind, tmp_path, given):
    starting, closing = [], []
    options = load.options(stage, kind, given.get((stage, kind), {}))
    tools = testing.tools(
        tmp_path, name="kind", recipe=tmp_path, starting=starting.append, closing=closing.append,
        inner=testing.Says("Fine.") if kind == "masked" else None,
        personal=lambda text: (Span(kind="X", start=0, end=1),) if text.startswith("2") else (),
    )  # fmt: skip
    if kind == "masked":
        tools.inner.name = "kind"
    built = load.kind(stage, kind).build(options, tools)
    for start in starting:
        await start()
    try:
        await (SUITES[stage](built, "kind") if stage == "answer" else SUITES[stage](built))
    finally:
        for close in reversed(closing):
            await close()


def test_an_unknown_kind_lists_those_that_exist():
    with pytest.raises(ConfigError, match=r"patterns.*pii.*secrets"):
        load.kind("guard", "pattern")
    with pytest.raises(ConfigError, match="Did you mean 'patterns'"):
        load.kind("guard", "pattern")


def test_a_dotted_kind_is_an_installed_module():
    with pytest.raises(ConfigError, match="is not a guard kind"):
        load.kind("guard", "email.message")
    with pytest.raises(ConfigError, match="cannot be imported"):
        load.kind("guard", "no.such.module")
