"""Where connections may go: every address is checked before it is dialled, and what was checked is what is dialled.

A name is looked up once for a connection, and only the addresses that passed are handed on, as numbers: what the name
says a moment later (DNS rebinding) is not asked. However an address is written, it is judged as the system reads it.
What is special is in IANA's registries: iana-ipv4-special-registry and iana-ipv6-special-registry.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import msgspec

from trimtab.types import Place

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Found: TypeAlias = tuple[Any, Any, int, str, tuple[Any, ...]]
"""One of the addresses of `getaddrinfo`: family, type, protocol, canonical name, socket address."""

LOOPBACK = "this machine's own address"
METADATA = "a cloud's metadata service"
NEVER = (
    ("0.0.0.0/8", "no address of a server"), ("::/128", "no address of a server"),
    ("224.0.0.0/4", "a multicast address"), ("ff00::/8", "a multicast address"),
    ("255.255.255.255/32", "the broadcast address"),
    ("169.254.169.254/32", METADATA), ("169.254.170.2/32", METADATA), ("169.254.170.23/32", METADATA),
    ("fd00:ec2::/32", METADATA), ("fd20:ce::254/128", METADATA), ("100.100.100.200/32", METADATA),
    ("192.0.0.192/32", METADATA), ("168.63.129.16/32", METADATA),
)  # fmt: skip
"""What no setting allows: who reaches a cloud's metadata service has the machine's credentials."""
SPECIAL = (
    ("127.0.0.0/8", LOOPBACK), ("::1/128", LOOPBACK),
    ("10.0.0.0/8", "a private address"), ("172.16.0.0/12", "a private address"),
    ("192.168.0.0/16", "a private address"), ("fc00::/7", "a private address"), ("fec0::/10", "a private address"),
    ("100.64.0.0/10", "a provider's own address"),
    ("169.254.0.0/16", "a link-local address"), ("fe80::/10", "a link-local address"),
    ("64:ff9b:1::/48", "a translator's own address"), ("192.88.99.0/24", "a tunnel (6to4)"),
    ("2002::/16", "a tunnel (6to4)"), ("2001::/32", "a tunnel (Teredo)"),
    ("192.0.0.0/24", "a reserved address"), ("2001::/23", "a reserved address"), ("240.0.0.0/4", "a reserved address"),
    ("198.18.0.0/15", "an address for benchmarks"),
    ("192.0.2.0/24", "an address for examples"), ("198.51.100.0/24", "an address for examples"),
    ("203.0.113.0/24", "an address for examples"), ("2001:db8::/32", "an address for examples"),
    ("3fff::/20", "an address for examples"),
)  # fmt: skip
"""What is inside, or nowhere: a server elsewhere has none of these."""
NAT64 = IPv6Network("64:ff9b::/96")
"""Addresses that are translated to the IPv4 address in their last 32 bits: RFC 6052."""
GLOBAL = IPv6Network("2000::/3")
"""All other IPv6 addresses that a server elsewhere may have: RFC 4291."""


class Denied(OSError):  # noqa: N818 - read as "the connection was ..."
    """The address may not be dialled; `fix` says what would allow it."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class Egress(msgspec.Struct, frozen=True, kw_only=True):
    """The connections of one upstream: `where` it is declared to be, and the `networks` that the operator calls theirs.

    What is local is on this machine or in `networks`. What is remote is where the operator wrote an address, or where a
    name leads: outside, or in `networks`. A name that leads inside is how a stranger's DNS reaches what only we can.
    """

    where: Place
    networks: tuple[Network, ...] = ()

    async def resolved(self, host: str, port: int) -> list[Found]:
        """The addresses that may be dialled, for a connection that is opened now. Raises `OSError`, `Denied`."""
        loop = asyncio.get_running_loop()
        return self.allowed(host, _here(host, port) or await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    def connected(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection for a thread, within `timeout` seconds for each address. Raises `OSError`, `Denied`."""
        looked = _here(host, port) or socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        *others, last = self.allowed(host, looked)
        for found in others:
            with suppress(OSError):
                return _dialled(found, timeout)
        return _dialled(last, timeout)

    def dialler(self, host: str) -> Callable[[Found], socket.socket]:
        """The sockets for addresses that somebody else looked up: aiohttp's `socket_factory`; they raise `Denied`."""

        def made(found: Found) -> socket.socket:
            self.allowed(host, (found,))
            return socket.socket(*found[:3])

        return made

    def check(self, host: str) -> None:
        """Raises `Denied` for an address, however it is written, that may not be dialled; names are for later."""
        self.allowed(host, _numeric(host))

    def allowed(self, host: str, found: Iterable[Any]) -> list[Found]:
        """Those of the addresses that may be dialled. Raises `Denied` where none may."""
        barred: list[tuple[str, str]] = []
        fine: list[Found] = []
        written = bool(_here(host, 0) or _numeric(host))
        for one in found:
            if why := self._barred(text := str(one[4][0]), written):
                barred.append((text, why))
            else:
                fine.append(one)
        if barred and not fine:
            raise self._denied(host, *barred[0])
        return fine

    def _barred(self, text: str, written: bool) -> str:
        """What an address is that may not be dialled; "" for one that may. `written`: it stands in the settings."""
        address = read(text)
        ends = (address, *_carried(address))
        if what := _first(NEVER_PARSED, ends):
            return what
        if any(address in network for network in self.networks):
            return ""
        if self.where == "local":
            return "" if address.is_loopback else "not on this machine"
        return "" if written else _first(SPECIAL_PARSED, ends) or ("" if _public(address) else "a reserved address")

    def _denied(self, host: str, text: str, what: str) -> Denied:
        shown = f"{host} is {text}, {what}" if host != text else f"{text} is {what}"
        if _first(NEVER_PARSED, (address := read(text), *_carried(address))):
            return Denied(f"{shown}, which is never dialled.", "Correct its url, or what the name resolves to.")
        own = f'add "{address}/{address.max_prefixlen}", or its network, to [egress] networks'
        if self.where == "local":
            return Denied(
                f"{shown}, where what is local must be.", f'If it is yours, {own}; if not, say where = "remote".'
            )
        return Denied(f"{shown}, where no name of a remote server should lead.", f"If that server is yours, {own}.")


def read(text: str) -> Address:
    """An address as it is dialled: without its zone, an IPv4-mapped one as IPv4. Raises `ValueError`."""
    address = ip_address(text.partition("%")[0])
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def on_this_machine(host: str) -> bool:
    """Whether a host can be nothing but this machine: a name that only looks like a loopback address is not."""
    try:
        return host == "localhost" or read(host).is_loopback
    except ValueError:
        return False


def networks(given: Sequence[str]) -> tuple[Network, ...]:
    """The networks that are written so, an address as a network of one. Raises `ValueError`."""
    found = tuple(ip_network(text) for text in given)
    if wide := next((network for network in found if network.prefixlen == 0), None):
        raise ValueError(f"{wide} is every address there is")
    return found


def _here(host: str, port: int) -> list[Found]:
    """`localhost` and names in it, which no resolver is to be asked for: RFC 6761 section 6.3."""
    if host.lower().rstrip(".").rpartition(".")[2] != "localhost":
        return []
    kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    return [(socket.AF_INET, *kind, ("127.0.0.1", port)), (socket.AF_INET6, *kind, ("::1", port, 0, 0))]


def _dialled(found: Found, timeout: float) -> socket.socket:
    dialled = socket.socket(*found[:3])
    try:
        dialled.settimeout(timeout)
        dialled.connect(found[4])
    except BaseException:
        dialled.close()
        raise
    return dialled


def _numeric(host: str) -> list[Any]:
    """What an address means to the system, however it is written (decimal, hexadecimal, short); nothing for a name."""
    try:
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []


def _carried(address: Address) -> tuple[Address, ...]:
    """The IPv4 addresses that a translator or a tunnel would send it on to."""
    if not isinstance(address, IPv6Address):
        return ()
    if address in NAT64:
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    return tuple(inner for inner in (address.sixtofour, *(address.teredo or ())) if inner)


def _public(address: Address) -> bool:
    return isinstance(address, IPv4Address) or address in GLOBAL or address in NAT64


def _first(table: tuple[tuple[Network, str], ...], ends: Iterable[Address]) -> str:
    return next((what for end in ends for network, what in table if end in network), "")


NEVER_PARSED = tuple((ip_network(network), what) for network, what in NEVER)
SPECIAL_PARSED = tuple((ip_network(network), what) for network, what in SPECIAL)


def origin(url: str) -> str:
    """Scheme, host and port of a URL, which may be told: its path, its query and what is before `@` may be a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
