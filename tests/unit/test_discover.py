"""What is found without being configured: the environment in its order, loopback, and what is said of it."""

from decimal import Decimal
from pathlib import Path

import pytest

from trimtab import load
from trimtab.answer import _discover
from trimtab.errors import ConfigError
from trimtab.evaluate import mock
from trimtab.plan import prices
from trimtab.settings import Discover, ModelPart, Server, Settings
from trimtab.types import Price


def given(secrets=None, loopback=False, **more):
    return Settings(
        name="t", folder=Path(), home=Path(), secrets=secrets or {}, discover=Discover(loopback=loopback), **more
    )


async def large(secrets, **more):
    models, lines = await _discover.discover(given(secrets, **more))
    found = [model for model in models if model.name == "large"]
    return (found[0] if found else None), "\n".join(lines)


async def test_nothing_is_there_and_it_says_where_it_looked():
    model, lines = await large({})
    assert model is None
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "TRIMTAB_SMALL"):
        assert name in lines


async def test_a_server_by_its_address():
    model, lines = await large({"TRIMTAB_LARGE": "http://gpu:8000/v1#qwen", "TRIMTAB_LARGE_KEY": "k-123"})
    assert model.options == {"url": "http://gpu:8000/v1", "model": "qwen", "key_env": "TRIMTAB_LARGE_KEY"}
    assert model.price is None
    assert "unknown" in lines
    assert "k-123" not in lines


@pytest.mark.parametrize(
    ("named", "variable", "url", "kind"),
    [
        ("openai/gpt-5.4", "OPENAI_API_KEY", _discover.OPENAI, "openai_http"),
        ("anthropic/claude-opus-4-8", "ANTHROPIC_API_KEY", _discover.ANTHROPIC, "anthropic_http"),
    ],
)
async def test_a_model_of_a_provider(named, variable, url, kind):
    model, lines = await large({"TRIMTAB_LARGE": named, variable: "k-123"})
    assert model.options == {"url": url, "model": named.split("/")[1], "key_env": variable}
    assert (model.kind, load.options("answer", kind, model.options).url) == (kind, url)
    assert model.price == prices.find(named).price
    assert "k-123" not in lines


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("http://gpu:8000/v1", "names no model"), ("http://gpu:8000/v1#", "names no model"), ("gpt-5.4", "no model of"),
        ("acme/x", "no model of"), ("openai/", "no model of"), ("openai/x", "no key"),
        ("http://[::1/v1#x", "not the address"), ("http://gpu:99999/v1#x", "not the address"),
        ("http://gpu:port/v1#x", "not the address"), ("https:///v1#x", "not the address"),
        ("http://g pu/v1#x", "not the address"), ("http://bob:s3cret@gpu/v1#x", "a user or a password"),
        ("HTTP://s3cret@gpu/v1#x", "a user or a password"), ("s3cret", "no model of"),
    ],
)  # fmt: skip
async def test_a_name_that_cannot_be_used_is_an_error_that_does_not_show_it(named, says):
    with pytest.raises(ConfigError, match=says) as caught:
        await large({"TRIMTAB_LARGE": named, "ANTHROPIC_API_KEY": "k"})
    assert "TRIMTAB_LARGE" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None  # what quotes the value is not the cause


async def test_what_stands_after_a_question_mark_is_used_and_not_shown():
    model, lines = await large({"TRIMTAB_LARGE": "https://gpu/v1?token=s3cret#qwen"})
    assert model.options == {"url": "https://gpu/v1?token=s3cret", "model": "qwen"}
    assert "https://gpu/v1 (TRIMTAB_LARGE)" in lines
    assert "s3cret" not in lines


async def test_a_large_model_of_the_recipe_wins_over_a_wrong_name():
    assert await large({"TRIMTAB_LARGE": "junk"}, models=(ModelPart(kind="code", name="large"),)) == (
        None, "small: none (set TRIMTAB_SMALL to the path of a GGUF file).\nlarge: as the recipe has it.",
    )  # fmt: skip


async def test_openais_key_goes_before_anthropics():
    both = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
    model, lines = await large(both)
    assert model.options["key_env"] == "OPENAI_API_KEY"
    assert "gpt-5.4 of openai" in lines
    assert prices.find("openai/gpt-5.4").seen in lines
    model, _ = await large({"ANTHROPIC_API_KEY": "k"})
    assert (model.kind, model.options["model"]) == ("anthropic_http", "claude-sonnet-4-5")
    assert model.price == Price(
        input=Decimal(3), output=Decimal(15), cached=Decimal("0.3"), cache_write=Decimal("3.75"),
        cache_write_long=Decimal(6),
    )  # fmt: skip


async def test_the_recipes_own_model_wins():
    mine = (ModelPart(kind="code", name="large"),)
    model, lines = await large({"OPENAI_API_KEY": "k"}, models=mine)
    assert model is None
    assert "as the recipe has it" in lines


async def test_the_environment_can_be_left_alone():
    settings = Settings(
        name="t", folder=Path(), home=Path(), secrets={"OPENAI_API_KEY": "k", "TRIMTAB_SMALL": "x.gguf"},
        discover=Discover(environment=False, loopback=False),
    )  # fmt: skip
    models, lines = await _discover.discover(settings)
    assert models == ()
    assert "discover.loopback = false" in lines[0]


async def test_a_small_model_by_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no .*x\.gguf.*GGUF"):
        await _discover.discover(given({"TRIMTAB_SMALL": "x.gguf"}))
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    models, _ = await _discover.discover(given({"TRIMTAB_SMALL": "x.gguf"}))
    assert [(model.name, model.kind, model.options) for model in models] == [
        ("small", "local", {"path": str(tmp_path / "x.gguf")})
    ]


async def test_a_server_on_loopback_is_found_but_not_our_own(monkeypatch):
    async with mock.serving() as url:
        port, closed = int(url.rsplit(":", 1)[1].split("/")[0]), 9
        monkeypatch.setattr(_discover, "LOOPBACK", (("Nobody", closed), ("Somebody", port)))
        monkeypatch.setattr(_discover, "PATIENCE", 5.0)
        model, lines = await large({}, loopback=True)
        assert model.options == {"url": url, "model": "mock"}
        assert model.price is None
        model, lines = await large({}, loopback=True, server=Server(port=port))
        assert model is None
        assert "no server on this machine at the usual ports (Nobody 9)" in lines


async def test_a_trimtab_on_loopback_is_never_its_own_upstream(monkeypatch):
    async def says(session, url):
        return {"trimtab": "0.1.0"} if url.endswith("/healthz") else {"data": [{"id": "auto"}]}

    monkeypatch.setattr(_discover, "_got", says)
    monkeypatch.setattr(_discover, "LOOPBACK", (("Somebody", 1),))
    model, lines = await large({}, loopback=True)
    assert model is None
    assert "it is a Trimtab gateway" in lines


def test_a_model_that_only_embeds_is_not_one():
    assert _discover._ids({"data": [{"id": "nomic-embed-text"}, {"id": "qwen"}, {}, 5]}) == ["qwen"]
    assert _discover._ids({"data": 5}) == _discover._ids(None) == []


def test_prices_are_looked_up_by_exact_name():
    assert prices.find("openai/gpt-5.4").price == Price(
        input=Decimal("2.5"), output=Decimal("15.0"), cached=Decimal("0.25")
    )
    assert prices.find("gpt-5.4").source
    assert prices.find("gpt-5.4-nonsense") is None
    assert prices.find("acme/gpt-5.4") is None
    assert len(prices.names()) > 1000
