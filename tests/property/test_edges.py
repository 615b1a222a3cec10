"""Where bytes of strangers are read: the fuzzer's targets on what hypothesis makes up, and what the fuzzer has found.

benchmarks/fuzz.py runs the same targets for as long as one likes.
"""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.answer import _message, openai_http
from trimtab.answer._assembly import Assembly, counted, of_choices
from trimtab.answer._blocks import Untranslatable
from trimtab.answer.anthropic_http import Options, Server
from trimtab.egress import Egress
from trimtab.errors import MalformedError
from trimtab.server import anthropic, openai, responses
from trimtab.server.blocks import Blocks
from trimtab.server.growth import Growth
from trimtab.testing import ask
from trimtab.types import Delta, Usage

SPEC = importlib.util.spec_from_file_location(
    "fuzz_targets", Path(__file__).parents[2] / "benchmarks" / "fuzz_targets.py"
)
targets = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(targets)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_any_bytes_are_read_rightly(name):
    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=120))
    def check(data):
        targets.TARGETS[name](data)

    check()


@pytest.mark.parametrize("wrong", [b"{", b'{"a": 1, "a": 2}', b'{"a": NaN}', b'{"a": "\\ud800"}', b"[]", b'{"a": 1} x'])
def test_the_reference_of_the_json_target_refuses_what_the_rules_refuse(wrong):
    assert targets.plainly(wrong, 8) is None
    assert targets.plainly(b'{"a": [1, 1.5, "x"]}', 8) == {"a": [1, 1.5, "x"]}


@pytest.mark.parametrize("role", [[], {}, 1, None, "tool"])
def test_a_role_that_is_none_is_the_clients_fault(role):
    body = {"messages": [{"role": role, "content": "Hi"}], "max_tokens": 1}
    with pytest.raises(MalformedError, match=r"messages\[0\]"):
        anthropic.request(body, {}, "tr_1")


@pytest.mark.parametrize("fields", [{"refusal": 1}, {"function_call": "f"}])
def test_further_fields_of_a_message_that_are_read_have_their_type(fields):
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", **fields}]
    with pytest.raises(MalformedError, match=next(iter(fields))):
        openai.request({"messages": said}, {}, "tr_1")


def test_calls_hidden_in_an_item_of_reasoning_are_refused():
    items = [{"type": "reasoning", "summary": [], "tool_calls": "x", "y": 1}, {"role": "user", "content": "a"}]
    with pytest.raises(MalformedError, match=r"input\[0\]\.tool_calls"):
        responses.request({"input": items}, {}, "tr_1")


def test_a_field_of_a_strange_shape_is_a_pass_of_the_model_that_cannot_say_it():
    server = Server(Options(url="http://localhost/v1", model="m"), "m", None, Egress(where="local"))
    for params in ({"output_config": 1}, {"metadata": "x"}, {"response_format": 1}):
        with pytest.raises(Untranslatable):
            server._messages(ask("Hi", params=params))


@pytest.mark.parametrize("tokens", [-1, 1e300, float("inf"), 10**12])
def test_a_count_of_tokens_that_no_ledger_could_hold_is_the_servers_fault(tokens):
    with pytest.raises(ValueError, match="usage"):
        _message.counted({"input_tokens": 1, "output_tokens": tokens})
    with pytest.raises(ValueError, match="usage"):
        counted({"prompt_tokens": tokens})


@pytest.mark.parametrize("logprobs", [1, "x", [1], {"content": 1}, {"content": ["x"]}])
def test_log_probabilities_that_are_none_are_the_servers_fault(logprobs):
    choice = {"index": 0, "message": {"content": "a"}, "logprobs": logprobs}
    with pytest.raises(openai_http.NOT_ONE):
        of_choices([choice], {}, "m", Usage())
    with pytest.raises(openai_http.NOT_ONE):
        Assembly().take({"choices": [{"delta": {"content": "a"}, "logprobs": logprobs}]})


def test_a_servers_own_field_of_a_name_that_is_read_here_breaks_nothing():
    choice = {"index": 0, "message": {"content": "a"}}
    answer = of_choices([choice], {"logprobs": "x", "anthropic": "y"}, "m", Usage())
    assert "logprobs" not in answer.body
    assert anthropic.end(answer)["stop_reason"] == "end_turn"


def test_a_tool_use_without_a_name_is_the_servers_fault():
    block = {"type": "tool_use", "id": "c", "name": [], "input": {}}
    with pytest.raises(TypeError, match="name"):
        _message.Assembly().take({"type": "content_block_start", "index": 0, "content_block": block})


@pytest.mark.parametrize("extra", [{"thinking_blocks": "x"}, {"content_blocks": [1, {"at": 0}, {"block": {"x": 1}}]}])
async def test_blocks_of_another_shape_are_no_part_of_a_message(extra):
    sent = []

    async def send(message):
        sent.append(message.get("body", b""))

    stream = Blocks(send, ask("Hi", id="tr_1"), late=False)
    await stream.emit(Delta(text="a", extra=extra))
    stream.close()
    assert b"".join(sent).count(b"content_block_start") == 2, "an event and its type: that of the text alone"


def test_a_call_with_a_field_called_content_has_no_parts():
    growth = Growth("k", {})
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "content": "x"}
    told = [*growth.call(call, 0), *growth.close("completed", {})]
    assert [name for name, _ in told][-2:] == ["function_call_arguments.done", "output_item.done"]
    assert growth.items[0]["content"] == "x"


def test_an_answer_whose_blocks_have_no_order_is_the_servers_fault():
    """Each event was one, but together they are none: see `_streamed`."""
    assembly = _message.Assembly()
    for index in (0, "x"):
        assembly.take({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": "a"}})
    with pytest.raises(openai_http.NOT_ONE):
        assembly.answer("m", Usage())


async def test_the_target_of_clients_connections_serves_what_is_a_request():
    """The target's own check: it compares more than nothing."""
    asked = b"POST /v1/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    (seen,), wrote = await targets.served([asked])
    assert (seen[0], seen[1], seen[4]) == ("POST", b"/v1/a", b"hello")
    assert wrote.startswith(b"HTTP/1.1 200 OK")
    assert (await targets.served([b"nonsense\r\n\r\n"]))[1].startswith(b"HTTP/1.1 400 ")
