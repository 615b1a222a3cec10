"""Finds models nobody configured: what the environment names, and servers on this machine's own ports.

Nothing is sent but GETs to loopback. What was found, and what was not, is told in lines a person reads.
"""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan import prices
from trimtab.settings import ModelPart, Settings
from trimtab.types import Price

PATIENCE = 0.3
"""Seconds a server on loopback has to say which models it has."""
LOOPBACK = (("Ollama", 11434), ("LM Studio", 1234), ("llama-server", 8080), ("vLLM", 8000))
OPENAI, ANTHROPIC = "https://api.openai.com/v1", "https://api.anthropic.com/v1"


class Provider(msgspec.Struct, frozen=True):
    """A provider, the variable of its key, the model taken where none is named (one of its middle), and its kind."""

    name: str
    url: str
    key_env: str
    default: str
    kind: str = "openai_http"


PROVIDERS = (
    Provider("openai", OPENAI, "OPENAI_API_KEY", "gpt-5.4"),
    Provider("anthropic", ANTHROPIC, "ANTHROPIC_API_KEY", "claude-sonnet-4.5", "anthropic_http"),
)
NAMED = {"claude-sonnet-4.5": "claude-sonnet-4-5", "claude-4.5-haiku": "claude-haiku-4-5"}
"""Anthropic's own names of models that the price list writes in another way."""

FORMS = (
    "TRIMTAB_LARGE may be http://host:port/v1#model (with its key, if it asks for one, in TRIMTAB_LARGE_KEY), "
    "openai/model or anthropic/model; unset it to have none."
)
Found = tuple[ModelPart | None, str]


async def discover(settings: Settings) -> tuple[tuple[ModelPart, ...], tuple[str, ...]]:
    """The models found, `small` and `large` at most, and a line for each place that was looked at.

    A model of the recipe's own wins over a found one of the same name: then nothing is looked for. Raises `ConfigError`
    where TRIMTAB_LARGE or TRIMTAB_SMALL is set and cannot be used: what a person asked for is not left out in silence.
    """
    mine = {model.name for model in settings.models}
    found: list[Found] = []
    if "small" not in mine and settings.discover.environment:
        found.append(_small(settings.secrets))
    if "large" in mine:
        found.append((None, "large: as the recipe has it."))
    else:
        found += await _larges(settings)
    models = tuple(model for model, _ in found if model)
    return models, tuple(line for _, line in found)


async def _larges(settings: Settings) -> list[Found]:
    """The first of: the named one, a provider's key, a server on loopback."""
    looked: list[Found] = []
    if settings.discover.environment:
        looked = _environment(settings.secrets)
        if any(model for model, _ in looked):
            return looked
    if not settings.discover.loopback:
        return [*looked, (None, "large: loopback was not looked at (discover.loopback = false).")]
    return [*looked, *await _loopback(settings.server.port)]


def _small(secrets: dict[str, str]) -> Found:
    path = secrets.get("TRIMTAB_SMALL")
    if not path:
        return None, "small: none (set TRIMTAB_SMALL to the path of a GGUF file)."
    file = Path(path).expanduser().absolute()  # from where one stands, not from the recipe
    if not file.is_file():
        raise ConfigError(
            f"TRIMTAB_SMALL names no file: there is no {file}.",
            "TRIMTAB_SMALL may be the path of a GGUF file; unset it to have none.",
        )
    return ModelPart(kind="local", name="small", options={"path": str(file)}), f"small: {path} (TRIMTAB_SMALL)."


def _environment(secrets: dict[str, str]) -> list[Found]:
    """The large rung that the environment names, or what it does not have."""
    if named := secrets.get("TRIMTAB_LARGE"):
        return [_named(named, secrets)]
    looked: list[Found] = []
    for provider in PROVIDERS:
        if secrets.get(provider.key_env):
            return [*looked, _of_provider(provider, provider.default, provider.key_env, f"{provider.key_env} is set")]
        looked.append((None, f"large: no {provider.key_env}."))
    return looked


def _named(named: str, secrets: dict[str, str]) -> Found:
    """`http://host:port/v1#model`, `openai/model` or `anthropic/model`. Raises `ConfigError` for anything else.

    What was set is never shown where it is wrong: it may be a key.
    """
    mine = "TRIMTAB_LARGE_KEY" if secrets.get("TRIMTAB_LARGE_KEY") else None
    if named.lower().startswith(("http://", "https://")):
        url, model = _addressed(named)
        options: dict[str, Any] = {"url": url, "model": model, **({"key_env": mine} if mine else {})}
        shown = url.partition("?")[0]
        return _part(options, None), f"large: {model} at {shown} (TRIMTAB_LARGE); its price is unknown."
    prefix, _, model = named.partition("/")
    provider = next((provider for provider in PROVIDERS if provider.name == prefix), None)
    if provider is None or not model:
        raise ConfigError("TRIMTAB_LARGE is no address and no model of a provider that is known.", FORMS)
    key_env = mine or provider.key_env
    if not secrets.get(key_env):
        raise ConfigError(
            f"TRIMTAB_LARGE names a model of {provider.name}, and there is no key for it.",
            f"Set {provider.key_env} or TRIMTAB_LARGE_KEY; or unset TRIMTAB_LARGE.",
        )
    return _of_provider(provider, model, key_env, "TRIMTAB_LARGE")


def _addressed(named: str) -> tuple[str, str]:
    """The URL and the model of `http://host:port/v1#model`. Raises `ConfigError`."""
    url, _, model = named.partition("#")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port is checked when it is read
    except ValueError:
        raise ConfigError("TRIMTAB_LARGE is not the address of a server.", FORMS) from None  # it would quote the value
    if "@" in parts.netloc:
        raise ConfigError(
            "TRIMTAB_LARGE has a user or a password in its address.",
            "Put the key into TRIMTAB_LARGE_KEY, and take it out.",
        )
    if not host or any(character.isspace() for character in url):
        raise ConfigError("TRIMTAB_LARGE is not the address of a server.", FORMS)
    if not model.strip():
        raise ConfigError("TRIMTAB_LARGE names no model: it goes after a #.", FORMS)
    return url, model


def _of_provider(provider: Provider, model: str, key_env: str, why: str) -> Found:
    listed = prices.find(model, provider.name)
    options: dict[str, Any] = {"url": provider.url, "model": NAMED.get(model, model), "key_env": key_env}
    price = "its price is unknown"
    if listed:
        price = f"${listed.price.input.normalize():f} in, ${listed.price.output.normalize():f} out per million tokens"
        price += f" as of {listed.seen}"
    line = f"large: {model} of {provider.name} ({why}); {price}."
    return _part(options, listed.price if listed else None, provider.kind), line


def _part(options: dict[str, Any], price: Price | None, kind: str = "openai_http") -> ModelPart:
    return ModelPart(kind=kind, name="large", price=price, options=options)


async def _loopback(own_port: int) -> list[Found]:
    """The first server that has a model, in the order of `LOOPBACK`; all are asked at once."""
    places = [(name, port) for name, port in LOOPBACK if port != own_port]
    answers = await asyncio.gather(*(_asked(port) for _, port in places))
    looked: list[Found] = []
    for (name, port), (models, why) in zip(places, answers, strict=True):
        url = f"http://127.0.0.1:{port}/v1"
        if models:
            options: dict[str, Any] = {"url": url, "model": models[0]}
            line = f"large: {models[0]} of the server at {url} ({name}'s port); its price is unknown; asked masked."
            part = msgspec.structs.replace(_part(options, None), mask=True)  # it may pass on what it is asked
            return [*looked, (part, line)]
        if why:
            looked.append((None, f"large: no model at {url} ({name}'s port): {why}."))
    silent = ", ".join(f"{name} {port}" for (name, port), found in zip(places, answers, strict=True) if not any(found))
    return [*looked, (None, f"large: no server on this machine at the usual ports ({silent}).")] if silent else looked


async def _asked(port: int) -> tuple[list[str], str]:
    """The models of the server at a port of this machine, or why there are none; "" where nobody answers."""
    from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar

    here = f"http://127.0.0.1:{port}"
    try:
        async with (
            asyncio.timeout(PATIENCE),
            ClientSession(
                timeout=ClientTimeout(total=PATIENCE), cookie_jar=DummyCookieJar(), trust_env=False
            ) as session,
        ):
            models = _ids(await _got(session, f"{here}/v1/models"))
            if models and "trimtab" in (await _got(session, f"{here}/healthz") or {}):
                return [], "it is a Trimtab gateway"
            return models, "it lists none"
    except (ClientError, OSError, TimeoutError):
        return [], ""


async def _got(session: Any, url: str) -> dict[str, Any] | None:
    """The JSON object at an address; None where there is none."""
    async with session.get(url, allow_redirects=False) as response:
        if response.status != 200:
            return None
        try:
            found = msgspec.json.decode(await response.read())
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return found if isinstance(found, dict) else None


def _ids(found: dict[str, Any] | None) -> list[str]:
    """The names of models that can chat and run there, as far as their names tell."""
    data = (found or {}).get("data")
    entries: list[Any] = data if isinstance(data, list) else []
    names = [entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    return [name for name in names if not any(word in name.lower() for word in ("embed", "-cloud", ":cloud"))]
