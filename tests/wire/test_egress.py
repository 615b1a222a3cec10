"""Every address is checked before it is dialled, however it is written and whatever a name says a moment later."""

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab import egress
from trimtab.answer import openai_http
from trimtab.answer._http import Client
from trimtab.egress import Denied, Egress, networks
from trimtab.errors import ConfigError
from trimtab.settings import parse
from trimtab.wiring import open_system

REMOTE, LOCAL = Egress(where="remote"), Egress(where="local")
METADATA = ("169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518",
            "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "fd00:ec2::254")  # fmt: skip
INSIDE = ("10.0.0.1", "192.168.1.1", "172.20.0.1", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "::1", "fe80::1",
          "fd00::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "100.64.0.1", "198.18.0.1",
          "192.0.2.1")  # fmt: skip


def found(*addresses: str) -> list[tuple]:
    """What a resolver says of a name."""
    rows = []
    for address in addresses:
        rows += socket.getaddrinfo(address, 443, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return rows


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("gate", [REMOTE, LOCAL, Egress(where="remote", networks=networks(["169.254.0.0/16"]))])
def test_nothing_reaches_a_clouds_metadata_service(gate, address):
    with pytest.raises(Denied, match=r"never"):
        gate.check(address)
    with pytest.raises(Denied):
        gate.allowed("models.example", found(address))


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_of_a_remote_server_never_leads_inside(address):
    with pytest.raises(Denied, match="no name of a remote server"):
        REMOTE.allowed("models.example", found(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_a_name_of_a_remote_server_leads_outside(address):
    assert REMOTE.allowed("models.example", found(address)) == found(address)


def test_of_several_addresses_those_that_may_be_dialled_are():
    assert REMOTE.allowed("models.example", found("10.0.0.1", "8.8.8.8")) == found("8.8.8.8")


@pytest.mark.parametrize("address", ["10.0.0.5", "192.168.1.1", "8.8.8.8", "127.0.0.1"])
def test_an_address_that_the_operator_wrote_is_dialled_as_a_remote_one(address):
    REMOTE.check(address)
    assert REMOTE.allowed(address, found(address))


@pytest.mark.parametrize("address", ["10.0.0.5", "8.8.8.8", "fe80::1"])
def test_what_is_local_is_on_this_machine_or_in_the_operators_networks(address):
    with pytest.raises(Denied, match=r"where what is local must be\. |where what is local must be"):
        LOCAL.check(address)
    Egress(where="local", networks=networks([address])).check(address)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["dotted", "decimal", "hex", "octal", "mapped"]))
def test_however_an_address_is_written_the_answer_is_the_same(number, spelling):
    dotted = socket.inet_ntoa(number.to_bytes(4, "big"))
    written = {
        "dotted": dotted, "decimal": str(number), "hex": hex(number), "mapped": f"::ffff:{dotted}",
        "octal": ".".join(f"0{int(part):o}" for part in dotted.split(".")),
    }[spelling]  # fmt: skip
    for gate in (REMOTE, LOCAL):
        assert _denied(gate, written) == _denied(gate, dotted)


def _denied(gate: Egress, host: str) -> bool:
    try:
        gate.check(host)
    except Denied:
        return True
    return False


async def test_what_was_checked_is_what_is_dialled_and_a_name_is_asked_once(monkeypatch):
    """DNS rebinding: the second answer of the resolver would be this machine."""
    loop, asked = asyncio.get_running_loop(), []
    answers = [found("8.8.8.8"), found("127.0.0.1")]

    async def resolve(host, port, **_):
        asked.append(host)
        return answers.pop(0)

    dialled = []

    async def start_connection(addresses, **_):
        dialled.extend(addresses)
        raise ConnectionRefusedError

    monkeypatch.setattr(loop, "getaddrinfo", resolve, raising=False) if hasattr(loop, "__dict__") else pytest.skip(
        "loop"
    )
    monkeypatch.setattr("aiohappyeyeballs.start_connection", start_connection)
    client = Client("https://models.example/v1", {}, connect=1.0, egress=REMOTE)
    with pytest.raises(ConnectionRefusedError):
        await client.post(b"{}", until=loop.time() + 5)
    assert (asked, dialled) == (["models.example"], found("8.8.8.8"))
    with pytest.raises(Denied):
        await client.post(b"{}", until=loop.time() + 5)


async def test_a_redirect_is_an_answer_like_any_other_and_is_not_followed():
    asked = []

    async def handle(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 307 X\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client(f"http://127.0.0.1:{port}/v1", {}, connect=1.0, egress=LOCAL)
    response = await client.post(b"{}", until=asyncio.get_running_loop().time() + 5)
    assert (response.status, len(asked)) == (307, 1)
    client.release(response)
    client.close()
    server.close()


@pytest.mark.parametrize(
    ("model", "networks", "words"),
    [
        ({"url": "http://169.254.169.254/v1"}, [], "never dialled"),
        ({"url": "http://2852039166/v1"}, [], "never dialled"),
        ({"url": "http://10.1.2.3/v1", "where": "local"}, [], r"\[egress\] networks"),
        ({"url": "http://127.0.0.1/v1"}, ["10.0.0.0/33"], r"\[egress\] networks"),
        ({"url": "http://127.0.0.1/v1"}, ["0.0.0.0/0"], "every address"),
    ],
)
async def test_settings_that_would_dial_what_they_may_not_are_refused(tmp_path, model, networks, words):
    table = {"model": [{"kind": "openai_http", "name": "m", "model": "m", **model}], "egress": {"networks": networks},
             "discover": {"environment": False, "loopback": False}}  # fmt: skip
    settings = parse(table, folder=tmp_path, home=tmp_path, name="x", secrets={})
    with pytest.raises(ConfigError, match=words):
        async with open_system(settings):
            pass


async def test_a_model_in_the_operators_network_may_be_local(tmp_path):
    model = {"kind": "openai_http", "name": "m", "model": "m", "url": "http://10.1.2.3/v1", "where": "local"}
    off = {"environment": False, "loopback": False}
    table = {"model": [model], "egress": {"networks": ["10.0.0.0/8"]}, "discover": off}
    async with open_system(parse(table, folder=tmp_path, home=tmp_path, name="x", secrets={})) as system:
        assert system.desk.specs["m"].where == "local"


def test_only_a_loopback_address_is_this_machine():
    assert all(map(egress.on_this_machine, ("localhost", "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1")))
    assert not any(
        map(egress.on_this_machine, ("localhost.example", "127.0.0.1.example", "10.0.0.1", "2130706433", ""))
    )
    spec = openai_http.spec(openai_http.Options(url="http://127.0.0.1.example/v1", model="m"))
    assert spec.where == "remote"
