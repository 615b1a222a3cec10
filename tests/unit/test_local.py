"""A real GGUF in a real child process: answers, streams, cancels, dies and comes back, and says why it cannot start."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from trimtab import testing
from trimtab.answer import _engine, local
from trimtab.errors import ConfigError, UpstreamDownError
from trimtab.testing import Hears, ask
from trimtab.types import Answer, Evidence, Verdict

WEIGHTS = Path(__file__).parents[1] / "data" / "stories260K.gguf"

engine = pytest.mark.skipif(local.find_spec("xllamacpp") is None, reason='needs pip install "trimtab[local]"')


@asynccontextmanager
async def running(tmp_path, path=WEIGHTS, **options):
    starting, closing, said = [], [], []
    spec = msgspec.structs.replace(local.spec(local.Options(path="")), context=512)
    tools = testing.tools(
        tmp_path, name="small", recipe=tmp_path, spec=spec, starting=starting.append, closing=closing.append,
        say=said.append,
    )  # fmt: skip
    model = local.build(local.Options(path=str(path), threads=1, **options), tools)
    model.said = said
    try:
        for start in starting:
            await start()
        yield model
    finally:
        for close in closing:
            await close()


def tell(text="Once upon a time", **params):
    return ask(text, params={"max_tokens": 16, "temperature": 0, "seed": 1, **params})


async def living(model, starts):
    async with asyncio.timeout(60):
        while model.engine.url is None or model.engine.starts < starts:
            await asyncio.sleep(0.02)


@engine
async def test_it_answers_streams_counts_and_gives_log_probabilities(tmp_path):
    async with running(tmp_path) as model:
        whole = await model.answer(tell(logprobs=True), Evidence(), Hears(live=False))
        assert isinstance(whole, Answer)
        assert (whole.model, whole.usage.completion, whole.finish) == ("small", 16, "length")
        assert whole.usage.prompt > 0
        assert not whole.usage.estimated
        assert len(whole.body["logprobs"]["content"]) == 16
        assert all(token["logprob"] <= 0 for token in whole.body["logprobs"]["content"])

        sink = Hears()
        streamed = await model.answer(tell(logprobs=True), Evidence(), sink)
        assert sink.text == streamed.text == whole.text
        assert sink.usage == streamed.usage
        assert len([delta for delta in sink.deltas if delta.text]) > 3, "it came in pieces"
        assert len(streamed.body["logprobs"]["content"]) == 16


@engine
async def test_a_cancelled_answer_frees_its_slot_and_no_answer_is_endless(tmp_path):
    async with running(tmp_path, slots=1, max_tokens=24) as model:
        sink = Hears()
        long = tell(max_tokens=100_000, ignore_eos=True)
        task = asyncio.ensure_future(model.answer(long, Evidence(), sink))
        async with asyncio.timeout(30):
            while not sink.text:
                await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30):
            answer = await model.answer(ask("Hi", params={"ignore_eos": True}), Evidence(), Hears(live=False))
        assert answer.usage.completion == 24


@engine
async def test_an_engine_that_dies_is_down_and_then_back(tmp_path):
    async with running(tmp_path) as model:
        before = model.engine.pid
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(30):
            while model.engine.url is not None:
                await asyncio.sleep(0.005)
        with pytest.raises(UpstreamDownError, match="is not running"):
            await model.answer(tell(), Evidence(), Hears(live=False))
        await living(model, 2)
        assert model.engine.pid != before
        assert (await model.answer(tell(), Evidence(), Hears(live=False))).usage.completion == 16
        assert any("starts again" in line for line in model.said)


ODD = """
import sys, time
print("Loading plugins...", flush=True)
sys.stdin.buffer.read()
"""
"""A child whose first line is not its address, as where a site's own startup file prints."""


@engine
async def test_a_child_that_begins_oddly_is_told_and_the_next_one_lives(tmp_path, monkeypatch):
    spawn = asyncio.create_subprocess_exec
    odd = []

    async def sometimes(python, *given, **pipes):
        if odd and odd.pop():
            given = ("-c", ODD)
        return await spawn(python, *given, **pipes)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", sometimes)
    monkeypatch.setattr(_engine, "BACKOFF", (0.01,))
    async with running(tmp_path) as model:

        def closed(line):
            model.said.append(line)
            raise BrokenPipeError

        monkeypatch.setattr(model.engine, "_say", closed)
        odd.append(True)
        os.kill(model.engine.pid, signal.SIGKILL)
        await living(model, 2)
        assert any("is not its address" in line for line in model.said)


@engine
async def test_a_child_that_begins_oddly_at_the_start_says_so_and_is_ended(tmp_path, monkeypatch):
    spawn, children = asyncio.create_subprocess_exec, []

    async def always(python, *_, **pipes):
        children.append(await spawn(python, "-c", ODD, **pipes))
        return children[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", always)
    with pytest.raises(ConfigError, match="is not its address"):
        async with running(tmp_path):
            pass
    assert children[0].returncode is not None


@engine
async def test_stopping_ends_the_child_whatever_became_of_the_watch(tmp_path, monkeypatch):
    async def breaks(*_):
        raise ZeroDivisionError

    async with running(tmp_path) as model:
        monkeypatch.setattr(model.engine, "_restarted", breaks)
        os.kill(model.engine.pid, signal.SIGKILL)
        await asyncio.wait([model.engine._watch])
        await model.engine._spawn()
        process = model.engine._process
    assert process.returncode is not None


@engine
async def test_closing_ends_the_child(tmp_path):
    async with running(tmp_path) as model:
        process = model.engine._process
        assert process.returncode is None
    assert process.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


@engine
async def test_its_server_wants_its_key(tmp_path):
    import aiohttp

    async with running(tmp_path) as model, aiohttp.ClientSession() as session:
        assert model.engine.url.startswith("http://127.0.0.1:")
        body = {"messages": [{"role": "user", "content": "Hi"}]}
        async with session.post(f"{model.engine.url}/v1/chat/completions", json=body) as response:
            assert response.status == 401


@engine
async def test_what_it_cannot_take_is_a_pass(tmp_path):
    async with running(tmp_path) as model:
        for request in (ask("word " * 4000), ask("x " * 1000), tell(response_format={"type": "nonsense"})):
            verdict = await model.answer(request, Evidence(), Hears(live=False))
            assert isinstance(verdict, Verdict)
            assert not verdict.ok
            assert verdict.code in ("context_too_small", "engine_refused")


@engine
async def test_a_schema_constrains_what_the_model_can_write(tmp_path):
    """A model of 260 thousand weights that was taught stories alone writes JSON of that schema, and else does not."""
    named = {"type": "string", "enum": ["cat", "dog"]}
    wanted = {"type": "object", "properties": {"pet": named}, "required": ["pet"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "pet", "schema": wanted}}
    async with running(tmp_path) as model:
        bound = await model.answer(tell(response_format=form, max_tokens=64), Evidence(), Hears(live=False))
        free = await model.answer(tell(max_tokens=64), Evidence(), Hears(live=False))
    assert msgspec.json.decode(bound.text)["pet"] in ("cat", "dog")
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(free.text)


@engine
async def test_it_keeps_the_contract_of_its_stage(tmp_path):
    async with running(tmp_path, max_tokens=4) as model:
        await testing.answers_well(model, "small")


@engine
@pytest.mark.parametrize("size", [8, 1000, 500_000])
async def test_weights_that_are_cut_short_say_so_at_start(tmp_path, size):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(WEIGHTS.read_bytes()[:size])
    with pytest.raises(ConfigError, match=r"cannot load .*cut\.gguf.*"):
        async with running(tmp_path, cut):
            pass


@engine
@pytest.mark.parametrize(
    ("content", "says"), [(None, "cannot be read"), (b"PK\x03\x04zip", "is not a GGUF"), (b"", "is not a GGUF")]
)
async def test_a_file_that_is_no_weights_is_named(tmp_path, content, says):
    path = tmp_path / "weights.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        async with running(tmp_path, "weights.gguf"):
            pass


def test_without_its_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r'pip install "trimtab\[local\]"'):
        local.build(local.Options(path=str(WEIGHTS)), testing.tools(tmp_path))
