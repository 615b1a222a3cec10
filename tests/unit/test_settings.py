"""Settings: what is right is frozen, what is wrong says which key and what it may be."""

import pytest

from trimtab.errors import ConfigError
from trimtab.settings import load, parse


def settings(tmp_path, text, **environ):
    (tmp_path / "recipe.toml").write_text(text)
    return load(tmp_path, {"TRIMTAB_HOME": str(tmp_path / "home"), **environ})


def test_a_recipe_becomes_settings(tmp_path):
    found = settings(
        tmp_path,
        """
        name = "mine"
        [[guard]]
        kind = "patterns"
        action = "person"
        on = ["answer"]
        [[model]]
        name = "large"
        kind = "openai_http"
        url = "http://127.0.0.1:1/v1"
        model = "m"
        key_env = "MY_KEY"
        price = {input = "2.5", output = 10}
        """,
        MY_KEY="s3cret", OTHER="no", OPENAI_API_KEY="k",
    )  # fmt: skip
    assert found.home == tmp_path / "home" / "mine"
    assert found.guards[0].action == "person"
    assert found.guards[0].name == "patterns"
    assert str(found.models[0].price.input) == "2.5"
    assert found.models[0].options == {"url": "http://127.0.0.1:1/v1", "model": "m", "key_env": "MY_KEY"}
    assert found.secrets == {"MY_KEY": "s3cret", "OPENAI_API_KEY": "k"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = = 1", "is not TOML"),
        ("colour = 1", "Unknown settings: colour"),
        ("[guard]\nkind = 'patterns'", r"\[\[guard\]\]"),
        ("[[guard]]\nname = 'x'", "needs a kind"),
        ("[[guard]]\nkind = 'patterns'\naction = 'explode'", "explode"),
        ("[[guard]]\nkind = 'pii'\n[[guard]]\nkind = 'pii'", "Two guards are called pii"),
        ("[server]\nport = 'many'", "port"),
        ("[server]\nporte = 1", "porte"),
        ("[[model]]\nkind = 'code'\nprice = {input = 'x', output = 1}", "price"),
        ("[[model]]\nkind = 'code'\nprice = {input = -1, output = 1}", "price of code"),
        ("[[model]]\nkind = 'code'\nprice = {input = 'inf', output = 1}", "price of code"),
        ("[[model]]\nkind = 'code'\nprice = {input = 'nan', output = 1}", "price of code"),
        ("[[model]]\nkind = 'code'\nname = 'auto'", "auto"),
        ("[[model]]\nkind = 'code'\nabilities = ['chatt']", "chatt"),
        ("[[guard]]\nkind = 'pii'\non = []", "judges nothing"),
        ("[[record]]\nkind = 'ledger'\n[[record]]\nkind = 'ledger'", "Two records"),
        ("name = '../../evil'", "names no folder"),
        ("[server]\nport = 70000", "port"),
        ("[server]\ndrain = nan", "drain"),
        ("[egress]\nregions = []", "regions"),
        ("[egress]\nregions = ['EU']", "regions"),
        ("[[model]]\nkind = 'code'\nregion = 'EU West'", "region"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        settings(tmp_path, text)


def test_a_recipe_that_is_not_there_lists_those_that_ship():
    with pytest.raises(ConfigError, match="starter"):
        load("no-such-recipe", {})


def test_one_system_has_one_identity_wherever_it_listens(tmp_path, monkeypatch):
    def identity(text='name = "x"', file="recipe.toml", **environ):
        (tmp_path / file).write_text(text)
        return load(tmp_path / file, {"TRIMTAB_HOME": str(tmp_path / "home"), **environ}).identity

    mine = identity()
    assert len(mine) == 16
    assert mine == identity() == identity(TRIMTAB_API_KEY="k") == identity(text='name = "x"\n[server]\nport = 9')
    assert identity(OPENAI_API_KEY="one") == identity(OPENAI_API_KEY="other")  # that it is set, never the key itself
    monkeypatch.chdir(tmp_path)
    assert identity(TRIMTAB_SMALL="a.gguf") == identity(TRIMTAB_SMALL=str(tmp_path / "a.gguf"))
    others = [
        identity(file="other.toml"), identity(text='name = "y"'), identity(TRIMTAB_HOME=str(tmp_path / "there")),
        identity(TRIMTAB_LARGE="http://a/v1#m"), identity(TRIMTAB_LARGE="http://a/v1#n"), identity(OPENAI_API_KEY="k"),
        identity(TRIMTAB_SMALL="a.gguf"), identity(TRIMTAB_LARGE_KEY="k"),
    ]  # fmt: skip
    assert len({mine, *others}) == len(others) + 1


def test_parse_does_not_touch_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "from the environment")
    assert parse({}, folder=tmp_path, home=tmp_path, name="n", secrets={}).secrets == {}
