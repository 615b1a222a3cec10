"""Callers: who may be behind a request, which routes and models are theirs, and the bounds that hold for them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import msgspec

from trimtab.errors import AuthError, ConfigError
from trimtab.money import from_usd
from trimtab.server.keys import PRIORITIES, RANK, Key, Role
from trimtab.server.quota import Bound
from trimtab.settings import Limit

if TYPE_CHECKING:
    from trimtab.server.quota import What


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who sent a request. `keyed` is False where no key is asked for; `scoped` maps models to their own bounds.

    `priority` is the highest that the caller may claim.
    """

    principal: str
    role: Role = "admin"
    name: str = ""
    keyed: bool = False
    models: frozenset[str] = frozenset()
    routes: tuple[str, ...] = ()
    bounds: tuple[Bound, ...] = ()
    scoped: dict[str, tuple[Bound, ...]] = {}
    priority: int = PRIORITIES["high"]

    def may(self, role: str) -> bool:
        return RANK[self.role] >= RANK[role]

    def enter(self, path: str, role: str) -> None:
        """Raises `AuthError` (403) for a route that is not this caller's."""
        if role != "anyone" and not self.may(role):
            raise AuthError(f"{path} needs a key with the role {role}.", "Ask an admin for one.", code="role_needed")
        if self.routes and not any(path == given or path.startswith(f"{given.rstrip('/')}/") for given in self.routes):
            raise AuthError(
                f"This key may not use {path}.", f"It may use: {', '.join(self.routes)}.", code="not_in_scope"
            )

    def sees(self, principal: str) -> bool:
        """Whether what belongs to a principal may be shown: a client's key sees its own."""
        return not self.keyed or self.may("operator") or principal == self.principal

    @property
    def plain(self) -> bool:
        """Whether nothing but the principal is to be minded."""
        return not (self.models or self.bounds or self.scoped)


OPEN = Caller(principal="local")
"""Anyone on this machine, where no key is asked for."""


def limited(limits: Iterable[Limit], id: str, name: str, team: str) -> tuple[tuple[Bound, ...], dict[str, Any]]:
    """The bounds of one caller, and those of single models, from the limits that are theirs."""
    bounds: list[Bound] = []
    scoped: dict[str, tuple[Bound, ...]] = {}
    for limit in limits:
        if not (_theirs(limit.key, id, name) and _theirs(limit.team, team)):
            continue
        subject = f"key:{id}" if limit.key else f"team:{team}" if limit.team else "all"
        if limit.model:
            scoped[limit.model] = (*scoped.get(limit.model, ()), *bounds_of(limit, f"{subject}|{limit.model}"))
        else:
            bounds += bounds_of(limit, subject)
    return tuple(bounds), scoped


def bounds_of(limit: Limit, subject: str) -> tuple[Bound, ...]:
    """Raises `ConfigError` for an amount of money that is none."""
    if limit.usd is not None and not (limit.usd.is_finite() and limit.usd >= 0):
        raise ConfigError(f"usd = {limit.usd} is no limit.", "Give an amount in USD, 0 or more.")
    nano = None if limit.usd is None else from_usd(limit.usd)
    given = {"requests": limit.requests, "tokens": limit.tokens, "nano": nano, "concurrency": limit.concurrency}
    return tuple(
        Bound(subject, cast("What", what), most, limit.per, limit.model)
        for what, most in given.items()
        if most is not None
    )


def admin(limits: Iterable[Limit]) -> Caller:
    """The caller with TRIMTAB_API_KEY."""
    bounds, scoped = limited(limits, "admin", "admin", "")
    return Caller(principal="admin", name="admin", keyed=True, bounds=bounds, scoped=scoped)


def anyone(limits: Iterable[Limit]) -> Caller:
    """The caller where no key is asked for."""
    bounds, scoped = limited(limits, "local", "local", "")
    return msgspec.structs.replace(OPEN, bounds=bounds, scoped=scoped) if bounds or scoped else OPEN


def of_key(key: Key, limits: Iterable[Limit]) -> Caller:
    """The caller with a virtual key: its own limits, and those of the settings."""
    own = tuple(msgspec.structs.replace(limit, key=key.id, team="") for limit in key.limits)
    bounds, scoped = limited((*own, *limits), key.id, key.name, key.team)
    return Caller(
        principal=key.id, role=key.role, name=key.name, keyed=True, models=frozenset(key.models),
        routes=key.routes, bounds=bounds, scoped=scoped, priority=PRIORITIES[key.priority],
    )  # fmt: skip


def _theirs(pattern: str, *names: str) -> bool:
    return not pattern or (pattern == "*" and bool(names[0])) or (pattern in names)
