"""Runs the Python code of an answer against the user's tests, in a sandbox without network, files or processes.

The tests are a file of the recipe, and the fenced blocks of the question that assert something. An answer passes where
all of them ran to their end. Code and tests share a process: a model that sets out to forge its own result could; what
it cannot do is reach anything outside.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from trimtab import texts
from trimtab.errors import ConfigError
from trimtab.ports import Tools
from trimtab.types import Answer, Evidence, ModelSpec, Request, Verdict
from trimtab.verify._sandbox import End, Job, Sandbox

LARGEST = 200_000
"""Characters of code, and of tests, that are run."""
PYTHON = ("", "python", "python3", "py")
_FENCE = re.compile(r"^[ ]{0,3}```[ \t]*([\w+-]*)[^\n]*\n(.*?)^[ ]{0,3}```[ \t]*$", re.MULTILINE | re.DOTALL)
_ASSERTS = re.compile(r"^\s*(?:assert\b|def test|class \w+\((?:unittest\.)?TestCase)", re.MULTILINE)
STOPPED = {
    "timeout": "It had not ended after {seconds:g} s.", "cpu": "It computed for more than {cpu} s.",
    "memory": "It wanted more than {memory} MB of memory.", "output": "It printed more than {output} bytes.",
}  # fmt: skip


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tests` is a Python file in the recipe's folder; `asked` takes the blocks of the question that assert something.

    `seconds` in all, `cpu` seconds of computing, `memory` in MB beyond the interpreter's own, `output` in bytes.
    `slots` programs run at a time. `models` are the rungs that are checked; empty means all but the cache.
    """

    tests: str = ""
    asked: bool = True
    seconds: float = 10.0
    cpu: int = 5
    memory: int = 256
    output: int = 65536
    slots: int = 2
    models: tuple[str, ...] = ()


def build(options: Options, tools: Tools) -> "Execution":
    """The sandbox is begun at start. Raises `ConfigError`, then too where this machine can confine no program."""
    if min(options.seconds, options.cpu, options.memory, options.output, options.slots) <= 0:
        raise ConfigError(f"verify {tools.name!r}: a limit is 0 or less.", "Give seconds, cpu, memory ... above 0.")
    if not (options.tests or options.asked):
        raise ConfigError(f"verify {tools.name!r} has no tests.", 'Name a file (tests = "...") or set asked = true.')
    execution = Execution(options, tools.name, _read(options.tests, tools))
    tools.starting(execution.sandbox.start)
    tools.closing(execution.sandbox.close)
    return execution


def _read(tests: str, tools: Tools) -> str:
    if not tests:
        return ""
    try:
        text = (tools.recipe / tests).read_text("utf-8")
        compile(text, tests, "exec")
    except (OSError, ValueError, SyntaxError) as error:
        raise ConfigError(f"verify {tools.name!r}: {tests} cannot be used: {error}.", "Name a Python file.") from error
    return text


class Execution:
    """The verifier."""

    def __init__(self, options: Options, name: str, tests: str) -> None:
        self._options, self._name, self._tests = options, name, tests
        self.sandbox = Sandbox(options.slots)

    def applies(self, request: Request, spec: ModelSpec) -> bool:
        """Where there are tests."""
        mine = spec.name in self._options.models if self._options.models else "cache" not in spec.abilities
        return mine and bool(self._tests or (self._options.asked and _asked(request)))

    async def verify(self, request: Request, evidence: Evidence, answer: Answer) -> Verdict:
        """Not ok: `no_code`, `tests_failed`, `code_stopped` (time, memory, output), `answer_too_large`."""
        tests = "\n\n".join(part for part in (self._tests, _asked(request) if self._options.asked else "") if part)
        further: list[Any] = [(choice.get("message") or {}).get("content") for choice in answer.choices]
        verdict = Verdict(ok=True, by=self._name)
        for said in (answer.text, *further):
            verdict = await self._run(_code(said or ""), tests)
            if not verdict.ok:
                return verdict
        return verdict

    async def _run(self, code: str, tests: str) -> Verdict:
        if not code.strip():
            return self._no("no_code", "The answer has no Python code.")
        if max(len(code), len(tests)) > LARGEST:
            return self._no("answer_too_large", f"The code or its tests have more than {LARGEST:,} characters.")
        return self._judged(await self.sandbox.run(self._job(code, tests)))

    def _job(self, code: str, tests: str) -> Job:
        given = self._options
        return Job(
            code=_clean(code), tests=_clean(tests), seconds=given.seconds, cpu=given.cpu, memory=given.memory << 20,
            output=given.output,
        )  # fmt: skip

    def _judged(self, end: End) -> Verdict:
        if end.state == "passed":
            return Verdict(ok=True, by=self._name, why=f"Its tests passed in {end.ms:.0f} ms.")
        if end.state in STOPPED:
            return self._no("code_stopped", STOPPED[end.state].format(**msgspec.structs.asdict(self._options)))
        if end.state == "left":
            return self._no("tests_failed", f"It ended before its tests did. {end.why}".strip())
        if end.state == "refused":
            raise OSError(f"the program could not be confined: {end.why}")
        return self._no("tests_failed", end.why)

    def _no(self, code: str, why: str) -> Verdict:
        return Verdict(ok=False, by=self._name, code=code, why=why)


def _blocks(text: str) -> Iterator[str]:
    """The fenced blocks of Python, and of no named language."""
    yield from (code for language, code in _FENCE.findall(text) if language.lower() in PYTHON)


def _code(text: str) -> str:
    """All blocks of the answer in their order; a text without any is code as a whole."""
    return "\n\n".join(_blocks(text)) if "```" in text else text


def _asked(request: Request) -> str:
    """The blocks of the last question that assert something."""
    question = texts.question(request)
    return "\n\n".join(code for code in _blocks(question) if _ASSERTS.search(code)) if "```" in question else ""


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
