"""What is built from settings: what no kind can see alone is refused, and the same models have the same stamp."""

import sys
import types

import pytest

from trimtab import load, wiring
from trimtab.errors import ConfigError
from trimtab.guard import pii
from trimtab.settings import parse

LARGE = {"kind": "openai_http", "name": "large", "url": "http://127.0.0.1:9/v1", "model": "m"}


def settings(tmp_path, secrets=None, **table):
    quiet = {"discover": {"environment": bool(secrets), "loopback": False}}
    return parse({**quiet, **table}, folder=tmp_path, home=tmp_path, name="x", secrets=secrets or {})


async def opened(tmp_path, **given):
    async with wiring.open_system(settings(tmp_path, **given)) as system:
        return system


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"record": [{"kind": "ledger"}, {"kind": "ledger", "name": "b"}]}, r"of the kind ledger.*kept twice"),
        ({"guard": [{"kind": "pii", "kinds": ["EMIAL"]}]}, r"pii: kinds has 'EMIAL'.*EMAIL.*GB_NINO"),
        ({"guard": [{"kind": "pii", "regions": ["US", "UK"]}]}, r"pii: regions has 'UK'.*GB"),
        ({"model": [{"kind": ".x"}]}, r"no answer kind '.x'.*code"),
        ({"model": [{"kind": "a..b"}]}, r"no answer kind 'a..b'"),
        ({"model": [{"kind": "trimtab.guard.pii"}]}, r"'trimtab.guard.pii' is not a answer kind"),
        ({"guard": [{"kind": "trimtab.verify.schema"}]}, r"is not a guard kind: what it builds has no check.*pii"),
        ({"verify": [{"kind": "trimtab.guard.pii"}]}, r"has no applies, verify"),
        ({"model": [{"kind": "json.decoder"}]}, r"is not a answer kind.*Options.*build"),
        ({"guard": [{"kind": "no.such.module"}]}, r"cannot be imported"),
    ],
)
async def test_what_is_wrong_is_said_with_what_is_known(tmp_path, table, says):
    with pytest.raises(ConfigError, match=says):
        await opened(tmp_path, **table)


def test_a_module_that_breaks_at_import_or_has_other_options_is_no_kind(monkeypatch, tmp_path):
    (tmp_path / "breaks_at_import.py").write_text("1 / 0")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "breaks.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="division by zero"):
        load.kind("guard", "pack.breaks")
    odd = types.ModuleType("pack.odd")
    odd.Options, odd.build = dict, print
    monkeypatch.setitem(sys.modules, "pack.odd", odd)
    with pytest.raises(ConfigError, match=r"msgspec\.Struct"):
        load.options("guard", "pack.odd", {})


def test_the_kinds_of_personal_data_that_are_known_are_those_there_are():
    said = pii.__doc__.partition("Kinds: ")[2].partition(" and the national")[0].split()
    assert sorted(said) == sorted(wiring.PERSONAL)


async def test_another_model_has_another_stamp_and_a_key_makes_none(tmp_path, monkeypatch):
    seen = []
    build = load.kind("answer", "cache").build

    def building(options, tools):
        seen.append(tools.stamp)
        return build(options, tools)

    monkeypatch.setattr(load.kind("answer", "cache"), "build", building)
    cache = {"kind": "cache"}
    url = "http://127.0.0.1:9/v1"
    for secrets in ({"TRIMTAB_LARGE": f"{url}#a"}, {"TRIMTAB_LARGE": f"{url}#b"}):
        await opened(tmp_path, model=[cache], secrets=secrets)
    keyed = {**LARGE, "key_env": "KEY"}
    for model in (LARGE, {**LARGE, "price": {"input": "1", "output": "2"}}, keyed):
        await opened(tmp_path, model=[cache, model], secrets={"KEY": "one", "TRIMTAB_LARGE": "http://x#y"})
    await opened(tmp_path, model=[cache, keyed], secrets={"KEY": "two", "TRIMTAB_LARGE": "http://x#y"})
    assert len(set(seen)) == 5
    assert seen[-1] == seen[-2]
    assert all(len(stamp) == 64 for stamp in seen)


@pytest.mark.parametrize(
    ("said", "region"),
    [
        ({}, "here"), ({"region": "eu"}, "eu"), ({"where": "remote"}, ""), ({"mask": True}, ""),
        ({"url": "https://models.example/v1"}, ""), ({"url": "https://models.example/v1", "where": "local"}, ""),
        ({"url": "https://models.example/v1", "region": "eu-west-1"}, "eu-west-1"),
    ],
)  # fmt: skip
async def test_a_model_has_the_region_it_names_and_one_on_this_machine_needs_none(tmp_path, said, region):
    system = await opened(tmp_path, model=[{**LARGE, **said}, {"kind": "code"}], egress={"regions": ["eu"]})
    assert {name: spec.region for name, spec in system.desk.specs.items()} == {"large": region, "code": "here"}
    assert system.desk.regions == ("eu",)
