"""The gateways that the wire tests talk to: see `_gateway`."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from _gateway import Chain, House, Scripted, desk, exchange, served, settings

from trimtab.encode.encoder import Encoder
from trimtab.evaluate import mock
from trimtab.server import app as gateway_app
from trimtab.server import serving
from trimtab.settings import parse
from trimtab.store.engine import Store


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The gateway that most tests talk to."""
    home = tmp_path_factory.mktemp("house")
    store, encoder, rung, given = Store.open(home / "trimtab.db"), Encoder.load(), Scripted(), settings(home)
    gateway = gateway_app.app(desk(rung, home, store), given, lambda: store, lambda: encoder)
    with served(gateway, given) as url:
        yield House(url, rung, store)
    encoder.close()
    asyncio.run(store.close())


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Settings -> wiring -> gateway -> a model's server over HTTP that writes 50 tokens a second."""
    home = tmp_path_factory.mktemp("chain")
    with served(mock.app(mock.Options(rate=50)), settings(home)) as peer:
        large = {
            "kind": "openai_http", "name": "large", "url": f"{peer}/v1", "model": "mock",
            "price": {"input": "2.50", "output": "10.00"},
        }  # fmt: skip
        table = {
            "server": {"port": 0, "drain": 1.0}, "discover": {"environment": False, "loopback": False},
            "guard": [{"kind": "patterns"}], "model": [{"kind": "code"}, large],
            "approve": {"kind": "policy"}, "record": [{"kind": "ledger"}],
        }  # fmt: skip
        given = parse(table, folder=home, home=home, name="chain", secrets={})
        with serving.background(given) as url:
            yield Chain(url, peer, home)


@pytest.fixture
def raw(house: House) -> Callable[[bytes], tuple[int, dict[bytes, bytes], bytes]]:
    """Send bytes over a socket; the status, headers and body of the response."""
    host, port = house.url.removeprefix("http://").split(":")
    return lambda sent: exchange(host, int(port), sent)
