"""One TOML file and the environment's secrets -> frozen `Settings`; the only reader of the environment."""

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec

from trimtab.errors import ConfigError
from trimtab.types import REGION, Action, Place, Price

RECIPES = Path(__file__).parent / "recipes"
COMMON = {
    "guard": ("kind", "name", "action", "fail", "shadow", "on"),
    "model": ("kind", "name", "where", "region", "price", "context", "abilities", "mask", "resume", "think"),
    "part": ("kind", "name"),
}
SECRETS = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "TRIMTAB_API_KEY",
    "TRIMTAB_LARGE",
    "TRIMTAB_LARGE_KEY",
    "TRIMTAB_SMALL",
    "TRIMTAB_DOCS_URL",
)
"""The variables that are read as they are; others only where a setting names them (`key_env`)."""
ABILITIES = frozenset({"chat", "question", "tools", "json", "vision", "evidence", "cache", "stream"})
UNREAL = Decimal(10**6)
"""USD per million tokens that nobody asks."""
NOT_MODELS = "TRIMTAB_API_KEY"
"""Of the secrets the one that says who may come in, not which models there are."""


Region = Annotated[str, msgspec.Meta(pattern=REGION)]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind at its place, with its own options."""

    kind: str
    name: str
    options: dict[str, Any] = {}


class GuardPart(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A guard and its policy: `on` request, evidence, answer; `fail` says what a crash means."""

    action: Action = Action.REFUSE
    fail: Literal["closed", "open"] = "closed"
    shadow: bool = False
    on: tuple[Literal["request", "evidence", "answer"], ...] = ("request", "evidence")


class ModelPart(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rung; what is set here wins over what its kind says of itself.

    `resume`: where another rung's stream is cut, this one may go on with what the client already has. `think`: so many
    tokens it may think first, which the client does not see unless it asks.
    """

    where: Place | None = None
    region: Region | None = None
    price: Price | None = None
    context: int | None = None
    abilities: tuple[str, ...] | None = None
    mask: bool | None = None
    resume: bool = False
    think: Annotated[int, msgspec.Meta(ge=64)] | None = None


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gateway listens and what it takes: bytes, seconds.

    `workers` processes share the port (Linux, BSD).
    `header_timeout` for a request's head since its first byte, `body_timeout` for its body, `idle_timeout` for a kept
    connection without a request, `stall_timeout` for a client that does not read its response.
    At its end it says for `notice` that it is not ready, and serves all the same; then it takes nothing more, and what
    runs may finish for `drain`.
    `auth`: `auto` asks for a key once there is one (a virtual key, or TRIMTAB_API_KEY), `key` always. `inflight`
    requests are served at a time, `waiting` more wait for room, both of all workers together; beyond that they are sent
    away, low priorities first.
    `hosts`: names it answers to beside its own, `*.example.org` for all below; with a key and no list, any name.
    `origins`: whose web pages may call it (`https://app.example.org`, `*` for all) beside its own.
    `files` and `message_batches` name the models whose servers files and batches are passed to, unseen by guards and
    unmasked; `max_file` bytes of one.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    max_body: Annotated[int, msgspec.Meta(ge=1)] = 4_000_000
    max_depth: Annotated[int, msgspec.Meta(ge=1, le=500)] = 64
    header_timeout: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    body_timeout: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    idle_timeout: Annotated[float, msgspec.Meta(gt=0)] = 75.0
    stall_timeout: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    drain: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 10.0
    notice: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    log: Literal["text", "json"] = "text"
    auth: Literal["auto", "key"] = "auto"
    inflight: Annotated[int, msgspec.Meta(ge=1)] = 2048
    waiting: Annotated[int, msgspec.Meta(ge=0)] = 128
    files: str = ""
    message_batches: str = ""
    max_file: Annotated[int, msgspec.Meta(ge=1)] = 512_000_000
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What may be taken in a window of the calendar (UTC), and at a time; what is not given is not limited.

    `key` (an id or a name) and `team` say whose limit it is, `"*"` of each key or team apiece, neither of all together;
    `model` narrows it to what that model is asked. `usd` is exact.
    """

    key: str = ""
    team: str = ""
    model: str = ""
    per: Literal["minute", "hour", "day", "month"] = "minute"
    requests: Annotated[int, msgspec.Meta(ge=0)] | None = None
    tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    usd: Decimal | None = None
    concurrency: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The large model that savings are reckoned against, with the source of its price."""

    model: str
    price: Price
    source: str = ""


class Discover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether to look for models in the environment and on loopback at start."""

    environment: bool = True
    loopback: bool = True


class Outgoing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`networks` (CIDR) that are the operator's own: local models may be there, and names of remote ones lead there.

    `regions`: a model that is not on this machine is asked only where its `region` is one of them; not given is all.
    """

    networks: tuple[str, ...] = ()
    regions: Annotated[tuple[Region, ...], msgspec.Meta(min_length=1)] | None = None


class Audit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`head`: a second file for the end of the audit chain, best on another disk or of another owner."""

    head: Path | None = None


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `trimtab calibrate` promised of the answers of `small` beside those of `large`, and how it is watched.

    `allowed` is the mean loss that it printed. Of the requests that both may have, `share` are asked of the other one
    too, off the client's latency and at the operator's cost; `judge` is the model that compares answers that differ
    (without one, the large model's counts as right). `risk` of a false alarm, ever. `principals`: whose requests this
    is about; none is all. With `keep` the threshold of `small` moves as audits arrive: to one of which they show, by
    `trimtab calibrate`'s test, that so much of the large model's quality is kept at that `confidence`, and to no other.
    `running` audits at a time; more are left out.
    """

    small: str
    large: str
    allowed: Annotated[float, msgspec.Meta(gt=-1, lt=1)]
    name: str = "default"
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.02
    risk: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.1
    judge: str = ""
    keep: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    confidence: Annotated[float, msgspec.Meta(ge=0.5, lt=1)] = 0.9
    principals: tuple[str, ...] = ()
    running: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4


class Pace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ceiling of `usd` in a window of the calendar (UTC) that is held by asking `large` less, `small` answering more.

    `principals`: whose requests it is for; none is all. It refuses nothing: see `Limit` for that.
    """

    small: str
    large: str
    usd: Decimal
    name: str = "default"
    per: Literal["minute", "hour", "day", "month"] = "day"
    principals: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a system is; `file` is the recipe's, where it was read from one."""

    name: str
    folder: Path
    home: Path
    file: Path | None = None
    description: str = ""
    server: Server = Server()
    limits: tuple[Limit, ...] = ()
    guards: tuple[GuardPart, ...] = ()
    route: Part = Part(kind="rules", name="rules")
    retrieve: Part | None = None
    models: tuple[ModelPart, ...] = ()
    verifiers: tuple[Part, ...] = ()
    approve: Part | None = None
    recorders: tuple[Part, ...] = ()
    baseline: Baseline | None = None
    discover: Discover = Discover()
    egress: Outgoing = Outgoing()
    audit: Audit = Audit()
    contracts: tuple[Contract, ...] = ()
    paces: tuple[Pace, ...] = ()
    secrets: dict[str, str] = {}

    @property
    def identity(self) -> str:
        """16 hex digits that two processes share where they are one system: recipe, home, models from the environment.

        No key is in it, only which keys are set; neither is the address, which `serve --port` may change.
        """
        small = self.secrets.get("TRIMTAB_SMALL")
        parts = (
            str(self.file or self.folder), str(self.home.absolute()), self.secrets.get("TRIMTAB_LARGE", ""),
            str(Path(small).expanduser().absolute()) if small else "",
            *sorted(name for name in self.secrets if name != NOT_MODELS),
        )  # fmt: skip
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def load(
    recipe: str | Path = "starter", environ: Mapping[str, str] | None = None, copy: Path | None = None
) -> Settings:
    """The settings of a recipe: a shipped one by name, or the path of a folder or of a TOML file.

    `copy` is read in the file's place: what the file was at another time.

    The state (ledger, tickets, logs) lies in `TRIMTAB_HOME`, else `~/.trimtab`, in a folder by the recipe's name.
    Raises `ConfigError` that says which key is wrong and what it may be.
    """
    environ = os.environ if environ is None else environ
    path = find(recipe)
    try:
        table = tomllib.loads((copy or path).read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.", "Mend the file at that place.") from error
    name = str(table.get("name", path.parent.name))
    home = Path(environ.get("TRIMTAB_HOME") or Path(environ.get("HOME") or Path.home()) / ".trimtab") / name
    secrets = {key: value for key in (*SECRETS, *_named(table)) if (value := environ.get(key))}
    parsed = parse(table, folder=path.parent, home=home, name=name, secrets=secrets)
    return msgspec.structs.replace(parsed, file=path)


def parse(table: dict[str, Any], *, folder: Path, home: Path, name: str, secrets: dict[str, str]) -> Settings:
    """`Settings` from a decoded TOML table; pure. Raises `ConfigError`."""
    known = {"name", "description", "server", "guard", "route", "retrieve", "model", "verify", "approve", "record",
             "baseline", "discover", "limit", "egress", "audit", "contract", "pace"}  # fmt: skip
    if unknown := set(table) - known:
        raise ConfigError(f"Unknown settings: {', '.join(sorted(unknown))}.", f"Known are: {', '.join(sorted(known))}.")
    raw = {
        "name": name, "folder": str(folder), "home": str(home), "secrets": secrets,
        "description": table.get("description", ""),
        "server": table.get("server", {}), "discover": table.get("discover", {}), "egress": table.get("egress", {}),
        "baseline": table.get("baseline"),
        "limits": _limits(table), "audit": table.get("audit", {}),
        "contracts": table.get("contract", []), "paces": table.get("pace", []),
        "guards": _parts(table, "guard", "guard"), "models": _parts(table, "model", "model"),
        "verifiers": _parts(table, "verify", "part"), "recorders": _parts(table, "record", "part"),
        "route": _part(table.get("route", {"kind": "rules"}), "route", "part"),
        "retrieve": _part(table["retrieve"], "retrieve", "part") if "retrieve" in table else None,
        "approve": _part(table["approve"], "approve", "part") if "approve" in table else None,
    }  # fmt: skip
    try:
        settings = msgspec.convert(raw, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigError(f"The recipe {name!r} is wrong: {error}.", "See docs/reference/settings.md.") from error
    for what, parts in (("model", settings.models), ("guard", settings.guards), ("verify", settings.verifiers),
                        ("record", settings.recorders), ("contract", settings.contracts),
                        ("pace", settings.paces)):  # fmt: skip
        _unique(what, [part.name for part in parts])
    _sound(settings)
    return settings


def find(recipe: str | Path) -> Path:
    """The TOML file of a recipe. Raises `ConfigError` that lists the shipped ones."""
    shipped = RECIPES / str(recipe) / "recipe.toml"
    path = Path(recipe)
    for candidate in (shipped if path.name == str(recipe) else path, path / "recipe.toml", path):
        if candidate.is_file():
            return candidate.resolve()
    names = ", ".join(sorted(folder.parent.name for folder in RECIPES.glob("*/recipe.toml")))
    raise ConfigError(
        f"There is no recipe {str(recipe)!r}.", f"Name a folder, a TOML file, or one that ships: {names}."
    )


def variable(name: str, environ: Mapping[str, str] | None = None) -> str:
    """One variable that a flow names as holding a secret of its own, "" where it is not set."""
    return (os.environ if environ is None else environ).get(name, "")


def _named(table: dict[str, Any]) -> list[str]:
    """The variables that the models name as holding their keys."""
    parts: list[Any] = []
    for name in ("model", "record"):
        parts += cast("list[Any]", table[name]) if isinstance(table.get(name), list) else []
    tables = [cast("dict[str, Any]", part) for part in parts if isinstance(part, dict)]
    places = [
        place
        for part in tables
        if isinstance(found := part.get("replicas"), list)
        for place in cast("list[Any]", found)
    ]
    tables += [cast("dict[str, Any]", place) for place in places if isinstance(place, dict)]
    return [key for part in tables if isinstance(key := part.get("key_env"), str)]


def _limits(table: dict[str, Any]) -> Any:
    """The [[limit]] tables. Raises `ConfigError` for one that limits nothing."""
    given = table.get("limit", [])
    for limit in cast("list[Any]", given) if isinstance(given, list) else ():
        if isinstance(limit, dict) and not {"requests", "tokens", "usd", "concurrency"} & set(cast("Any", limit)):
            raise ConfigError("A [[limit]] limits nothing.", "Give it requests, tokens, usd or concurrency.")
    return given


def _parts(table: dict[str, Any], key: str, common: str) -> list[dict[str, Any]]:
    given = table.get(key, [])
    if not isinstance(given, list):
        raise ConfigError(f"{key!r} must be a list of tables.", f"Write [[{key}]], with two brackets.")
    return [_part(part, key, common) for part in cast("list[Any]", given)]


def _part(given: Any, key: str, common: str) -> dict[str, Any]:
    """A part's table split into what all parts of its sort have and the kind's own options."""
    if not isinstance(given, dict) or not isinstance(given.get("kind"), str):
        raise ConfigError(f"A [[{key}]] needs a kind.", f'Write kind = "...": the files in {key}/ are the kinds.')
    table = cast("dict[str, Any]", given)
    mine = {name: value for name, value in table.items() if name in COMMON[common]}
    options = {name: value for name, value in table.items() if name not in COMMON[common]}
    return {"name": table["kind"], **mine, "options": options}


def _decode(cls: type, value: Any) -> Any:
    if cls is Path:
        return Path(value)
    raise NotImplementedError(cls)


def _sound(settings: Settings) -> None:
    """What no type says. Raises `ConfigError`."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", settings.name):
        raise ConfigError(f"The name {settings.name!r} names no folder.", "Use letters, digits, '-', '_' and '.'.")
    prices = [(model.name, model.price) for model in settings.models]
    prices += [("baseline", settings.baseline.price)] if settings.baseline else []
    for name, price in prices:
        given = (getattr(price, name) for name in price.__struct_fields__) if price else ()
        amounts: list[Decimal] = [amount for amount in given if amount is not None]
        if not all(amount.is_finite() and 0 <= amount < UNREAL for amount in amounts):
            raise ConfigError(f"The price of {name} is none.", "Give USD per million tokens, 0 or more.")
    for model in settings.models:
        if model.name == "auto":
            raise ConfigError("No model may be called auto.", 'By "auto" clients leave the choice to the system.')
        if unknown := set(model.abilities or ()) - ABILITIES:
            raise ConfigError(
                f"{model.name} has unknown abilities: {', '.join(sorted(unknown))}.",
                f"Known are: {', '.join(sorted(ABILITIES))}.",
            )
    if lost := [pace.name for pace in settings.paces if not (pace.usd.is_finite() and 0 < pace.usd < UNREAL)]:
        raise ConfigError(f"[[pace]] {lost[0]}: usd is no amount.", "Give USD a window, above 0.")
    if (head := settings.audit.head) and not head.is_absolute():
        raise ConfigError(f"[audit] head = {str(head)!r} is no absolute path.", 'Write head = "/folder/file".')
    if unheard := [guard.name for guard in settings.guards if not guard.on]:
        raise ConfigError(f"The guard {unheard[0]} judges nothing.", 'Give it on = ["request"], or leave it out.')


def _unique(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"Two {what}s are called {', '.join(twice)}.", f'Give each [[{what}]] its own name = "...".')
