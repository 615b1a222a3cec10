"""Who may come in: where the gateway may listen, under which names, with which key, and who may decide a ticket.

Without a key the gateway serves this machine only. A browser on this machine is the hole in that: a page from anywhere
can send requests to loopback, so a foreign `Host` (DNS rebinding) and a foreign `Origin` are turned away.
"""

import hmac
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from trimtab.errors import AuthError, ConfigError
from trimtab.settings import Settings

KEY = "TRIMTAB_API_KEY"
OPERATOR = b"x-trimtab-operator"
FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip")

Headers = Mapping[bytes, bytes]


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one gateway: the key that is asked for, or the names it answers to without one."""

    key: bytes = b""
    names: frozenset[str] = frozenset()

    def check(self, headers: Headers) -> None:
        """Raises `AuthError` for a request that may not come in."""
        if self.key:
            if not hmac.compare_digest(shown(headers), self.key):
                raise AuthError("The API key is missing or wrong.", "Send Authorization: Bearer <TRIMTAB_API_KEY>.")
            return
        if (host := headers.get(b"host", b"")).partition(b":")[0] not in KNOWN and name_of(host) not in self.names:
            raise AuthError(
                "This gateway does not answer to that Host.", "Use its own address, or set a key.", code="wrong_host"
            )
        if (origin := headers.get(b"origin")) is not None and not _own(origin, self.names):
            raise AuthError(
                "Web pages from elsewhere may not call this gateway.", "Set TRIMTAB_API_KEY.", code="wrong_origin"
            )


KNOWN: frozenset[bytes] = frozenset({b"127.0.0.1", b"localhost"})
"""Names that need no parsing on the hot path."""


def door(settings: Settings) -> Door:
    """The door that the settings ask for. Raises `ConfigError` rather than listen to the world without a key."""
    key, host = settings.secrets.get(KEY, ""), settings.server.host
    if not key and settings.server.auth != "key" and not is_loopback(host):
        raise ConfigError(
            f"Without a key the gateway listens on this machine only, not on {host}.",
            f'Set {KEY} in the environment, server.auth = "key" (see `trimtab keys`), or server.host to 127.0.0.1.',
        )
    return Door(key=key.encode(), names=frozenset({"localhost", "127.0.0.1", "::1", host}))


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


def _own(origin: bytes, names: frozenset[str]) -> bool:
    try:
        return (urlsplit(origin.decode("latin-1")).hostname or "") in names
    except ValueError:
        return False
