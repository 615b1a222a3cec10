"""Who may come in: where the gateway may listen, under which names, with which key, and who may decide a ticket.

Without a key the gateway serves this machine only. A browser on this machine is the hole in that: a page from anywhere
can send requests to loopback, so a foreign `Host` (DNS rebinding) and a foreign `Origin` are turned away; with a key
too, unless they are listed.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from trimtab.errors import AuthError, ConfigError
from trimtab.settings import Settings

KEY = "TRIMTAB_API_KEY"
OPERATOR = b"x-trimtab-operator"
FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip")
KNOWN: frozenset[bytes] = frozenset({b"127.0.0.1", b"localhost"})
"""Names that need no parsing on the hot path."""
HOST = re.compile(r"(\*\.)?[\w-]+(\.[\w-]+)*|[0-9A-Fa-f:]+")
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
ELSEWHERE = frozenset({b"cross-site", b"same-site"})
"""What a browser says in `Sec-Fetch-Site` of a request that another origin's page makes."""

Headers = Mapping[bytes, bytes]


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one gateway: the key it has, the names it answers to, the origins whose pages may call it.

    `names` are this gateway's own, to which it answers without a key; `hosts` those it answers to at all, empty: to
    any, since a key is asked for. `*.example.org` stands for every name below; in `origins`, `*` for every page.
    """

    key: bytes = b""
    names: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    origins: frozenset[bytes] = frozenset()

    def check(self, headers: Headers, method: str) -> None:
        """Raises `AuthError` for a Host that is not listed, and for a page of an origin that is not."""
        if self.hosts and not _named(headers.get(b"host", b""), self.hosts):
            raise _wrong_host()
        origin = headers.get(b"origin")
        if origin is None:
            if headers.get(b"sec-fetch-site") in ELSEWHERE and method not in SAFE:
                raise _wrong_origin()
        elif not (origin in self.origins or b"*" in self.origins or self._own(origin, headers.get(b"host", b""))):
            raise _wrong_origin()

    def unkeyed(self, headers: Headers) -> None:
        """Raises `AuthError` where one without a key does not call us by our own name: DNS rebinding does not."""
        if not _named(headers.get(b"host", b""), self.names):
            raise _wrong_host()

    def _own(self, origin: bytes, host: bytes) -> bool:
        """Whether a page is of the address that it calls, or of another port of this gateway's own names."""
        where = origin.partition(b"://")[2]
        return bool(where) and (where == host or _named(where, self.names))


def door(settings: Settings) -> Door:
    """The door that the settings ask for. Raises `ConfigError` rather than listen to the world without a key."""
    key, server = settings.secrets.get(KEY, ""), settings.server
    if not key and server.auth != "key" and not is_loopback(server.host):
        raise ConfigError(
            f"Without a key the gateway listens on this machine only, not on {server.host}.",
            f'Set {KEY} in the environment, server.auth = "key" (see `trimtab keys`), or server.host to 127.0.0.1.',
        )
    listed = frozenset(_host(name) for name in server.hosts)
    names = frozenset({"localhost", "127.0.0.1", "::1", server.host}) | listed
    origins = frozenset(_origin(origin) for origin in server.origins)
    return Door(key=key.encode(), names=names, hosts=names if listed else listed, origins=origins)


def shown(headers: Headers) -> bytes:
    """The key a client shows, as `Authorization: Bearer` or `x-api-key`."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")


def operator(headers: Headers, client: str | None) -> str:
    """The operator who decides, by the name they give. Raises `AuthError` unless on this machine and no web page.

    A request that a proxy forwarded comes from somewhere else, whatever its address says.
    """
    name = headers.get(OPERATOR, b"").decode("latin-1").strip()
    far = not client or not is_loopback(client) or any(header in headers for header in FORWARDED)
    if far or b"origin" in headers or not name:
        raise AuthError(
            "Only an operator on this machine may see and decide tickets.",
            "Use `trimtab approvals`, or call from loopback with the header x-trimtab-operator: <name>.",
            code="operator_only",
        )
    return name[:200]


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def name_of(host: bytes) -> str:
    """The name in a Host header, without its port and brackets."""
    try:
        return urlsplit(f"//{host.decode('latin-1')}").hostname or ""
    except ValueError:
        return ""


def _named(host: bytes, names: frozenset[str]) -> bool:
    """Whether a Host header is one of the names."""
    if host.partition(b":")[0] in KNOWN:
        return True
    name = name_of(host)
    return name in names or any(f"*{name[at:]}" in names for at, mark in enumerate(name) if mark == ".")


def _host(name: str) -> str:
    if not HOST.fullmatch(name):
        raise ConfigError(
            f'server.hosts: "{name}" is no host name.', 'Write "api.example.org" or "*.example.org", without a port.'
        )
    return name.lower()


def _origin(origin: str) -> bytes:
    scheme, _, rest = origin.partition("://")
    if origin != "*" and not (scheme and rest and not set(rest) & set("/?#* ")):
        raise ConfigError(
            f'server.origins: "{origin}" is no origin.', 'Write "https://app.example.org", without a path, or "*".'
        )
    return origin.lower().encode()


def _wrong_host() -> AuthError:
    return AuthError(
        "This gateway does not answer to that Host.",
        "Use its own address, or add the name to server.hosts.",
        code="wrong_host",
    )


def _wrong_origin() -> AuthError:
    return AuthError(
        "Web pages from elsewhere may not call this gateway.",
        "Add the page's origin to server.origins.",
        code="wrong_origin",
    )
