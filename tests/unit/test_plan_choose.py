"""The plan itself: what it recommends, rejects and refuses; and its recipe, which the gateway loads."""

import csv
import json
import tomllib

import pytest

from trimtab import settings
from trimtab.cli.app import run
from trimtab.errors import ConfigError
from trimtab.plan import choose, cost, crossing, deploy, models, needs, options, page, report, weights


@pytest.fixture(scope="module")
def chosen() -> choose.Plan:
    return choose.plan(needs.made({"quality": 70, "requests": 1_000_000, "first_p95": 3, "licence": "Apache"}))


def test_the_recommendation_meets_every_constraint(chosen):
    best = chosen.best
    assert not best.fails
    assert best.quality >= 70
    assert best.first_p95 <= 3
    assert "Apache" in models.find(best.model).licence
    assert best.memory <= best.usable


def test_nobody_on_the_front_beats_another(chosen):
    for one in chosen.front:
        better = [
            other for other in chosen.front
            if other is not one and other.cost <= one.cost and other.quality >= one.quality
            and other.first_p95 < one.first_p95
        ]  # fmt: skip
        assert not better


def test_rejections_say_why(chosen):
    assert {"quality", "licence", "memory"} <= set(chosen.rejected)
    count, why = chosen.rejected["quality"]
    assert count > 100
    assert "< 70 %" in why


def test_growth_needs_more_servers_and_money(chosen):
    (now, waits, few), (_, _, _), (later, _, many) = chosen.growth.values()
    assert later > now
    assert many > few
    assert waits.stable


def test_the_flip_is_where_the_costs_cross(chosen):
    flip = next(flip for flip in chosen.flips if flip.what == "volume")
    assert flip.at
    wanted = chosen.needs
    requests = flip.at / (wanted.prompt + wanted.answer)
    factor = requests / wanted.requests
    own = [crossing.cost_at(chosen.best, wanted, chosen.house, factor * nudge) for nudge in (0.97, 1.03)]
    from trimtab.plan import prices

    listed = prices.find(wanted.large)
    assert listed
    api = [cost.api(listed, wanted.use.times(factor * nudge)) for nudge in (0.97, 1.03)]
    assert None not in (*own, *api)
    assert ((own[0] or 0) < (api[0] or 0)) != ((own[1] or 0) < (api[1] or 0))


def test_every_figure_has_an_interval_and_a_tag(chosen):
    stack, _ = choose.stack(chosen)
    for figure in (*chosen.figures.values(), *stack.values()):
        assert figure.low <= figure.central <= figure.high
        assert figure.tag in ("exact", "probed", "calibrated", "extrapolated", "unknown")


def test_what_matters_most_decides():
    cheap, fast = (
        choose.plan(needs.made({"quality": 70, "fails": fails, "where": ["server"], "requests": 50_000}))
        for fails in ("cost", "latency")
    )
    assert cheap.best.cost is not None
    assert fast.best.cost is not None
    assert cheap.best.cost < fast.best.cost
    assert fast.best.first_p95
    assert cheap.best.first_p95
    assert fast.best.first_p95 < cheap.best.first_p95


def test_private_plans_have_no_provider():
    found = choose.plan(needs.made({"private": True, "quality": 75}))
    assert not found.best.large
    assert found.best.runtime != "api"
    assert not any(one.large or one.runtime == "api" for one in found.front)
    assert "private" in found.rejected


def test_two_constraints_that_contradict_are_named():
    with pytest.raises(ConfigError, match="contradict each other") as caught:
        choose.plan(needs.made({"quality": 85, "budget": 850, "private": True, "where": ["server"]}))
    assert "quality" in caught.value.message
    assert "budget" in caught.value.message


def test_one_that_nobody_meets_is_named():
    with pytest.raises(ConfigError, match=r"Nothing meets pace"):
        choose.plan(needs.made({"pace": 100_000, "private": True}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"requests": -4}, "requests"), ({"budget": 0}, "budget"), ({"escalated": 1.5}, "escalated"),
        ({"quality": 101}, "quality"), ({"prompt": 1e15}, "prompt"), ({"where": ["moon"]}, "moon"),
        ({"fails": "luck"}, "luck"), ({"benchmark": "x"}, "x"), ({"colour": 1}, "colour"), ({"where": []}, "where"),
        ({"requests": "many"}, "requests"), ({"requests": float("nan")}, "requests"), ({"context": 1e9}, "context"),
    ],
)  # fmt: skip
def test_absurd_constraints_are_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        needs.made(given)


@pytest.mark.parametrize(("name", "near"), [("device", "iphone-15"), ("model", "qwen3-9b"), ("large", "gtp-5.4")])
def test_unknown_names_get_the_nearest(name, near):
    with pytest.raises(ConfigError) as caught:
        choose.plan(needs.made({name: near}))
    assert "Nearest" in caught.value.fix


@pytest.mark.parametrize("given", [
    {"quality": 70, "requests": 1_000_000}, {"where": ["cloud"], "requests": 100}, {"quality": 88, "escalated": 0.4},
])  # fmt: skip
def test_the_gateway_loads_the_recipe(tmp_path, given):
    found = choose.plan(needs.made(given))
    path = tmp_path / "recipe.toml"
    path.write_text(deploy.recipe(found), encoding="utf-8")
    loaded = settings.load(str(path))
    assert loaded.name == "planned"
    names = [part.name for part in loaded.models]
    assert ("small" in names) == (found.best.runtime != "api")
    assert ("large" in names) == bool(found.best.large or found.best.runtime == "api")
    assert loaded.baseline


def test_the_page_stands_alone(chosen):
    stack, _ = choose.stack(chosen)
    html = page.page(chosen, stack)
    assert html.count("<svg") == 4
    assert "<script" not in html
    assert "http" not in html.replace("http://127.0.0.1", "")
    assert chosen.best.model in html
    html.encode("utf-8")


def test_the_json_is_stable(chosen):
    stack, _ = choose.stack(chosen)
    found = json.loads(json.dumps(report.values(chosen, stack)))
    assert {"needs", "house", "limits", "considered", "recommended", "front", "rejected", "growth", "flips", "run",
            "ollama", "check"} == set(found)  # fmt: skip
    assert {"low", "central", "high", "unit", "tag", "why"} == set(found["recommended"]["figures"]["pace"])


def test_the_table_of_weights_is_what_is_counted():
    with weights.CATALOG.open(encoding="utf-8", newline="") as file:
        listed = {(row["model"], row["precision"]) for row in csv.DictReader(file)}
    wanted = {
        (name, precision) for name, row in models.catalog().items()
        for kinds in weights.precisions(row.shape.family) for precision in kinds
    }  # fmt: skip
    assert listed == wanted
    for name in ("gpt-oss-20b", "gemma-3n-e4b", "qwen3-30b-a3b"):
        row = models.catalog()[name]
        for kinds in weights.precisions(row.shape.family):
            for precision in kinds:
                assert weights.table()[name, precision] == weights.sized(row, precision)


def test_what_a_wrong_answer_costs_counts():
    """At no harm the cheapest is best; at a dollar a wrong answer a point more of quality is worth a thousand."""
    asked = {"private": True, "where": ["server"], "requests": 100_000}
    cheap, careful = (choose.plan(needs.made(asked | {"harm": harm})) for harm in (0.0, 1.0))
    assert careful.best.quality
    assert cheap.best.quality
    assert careful.best.quality > cheap.best.quality
    assert careful.figures["loss"].central == pytest.approx(100_000 * (1 - careful.best.quality / 100))
    assert "loss" not in cheap.figures


def test_who_names_a_model_is_not_given_another():
    with pytest.raises(ConfigError, match=r"40\.\d GiB > 4\.5 GiB"):
        choose.plan(needs.made({"model": "llama-3.1-70b", "device": "iphone-16-pro"}))
    with pytest.raises(ConfigError, match="licence"):
        choose.plan(needs.made({"licence": "Nonsense"}))


def test_a_device_of_ones_own_is_one_user():
    found = choose.plan(
        needs.made({"where": ["device"], "requests": 1e9, "quality": 60, "model": "granite-4.0-h-tiny"})
    )
    text = "\n".join(report.text(found, {}))
    assert "devices at work at once" in text
    assert "0 x" not in text
    assert "1 x" not in text.replace("1x", "")


def test_an_option_names_itself():
    one = next(one for one in options.all_of(needs.made({"model": "qwen3-8b"}), cost.House()) if one.large)
    assert one.name.startswith("qwen3-8b")
    assert one.routing in one.name
    assert "gpt-5.4" in one.name


def test_the_command_prints_writes_and_refuses(tmp_path, capsys):
    page_at, recipe = tmp_path / "plan.html", tmp_path / "recipe.toml"
    flags = ["plan", "--model", "qwen3-8b", "--where", "server", "--explain"]
    assert run([*flags, "--html", str(page_at), "--write", str(recipe)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Recommended: ")
    for part in ("Memory of each device", "Pareto front", "Rejected", "Run:", "Check:", "Terms:"):
        assert part in shown
    assert page_at.read_text("utf-8").startswith("<!doctype html>")
    assert tomllib.loads(recipe.read_text("utf-8"))["model"]
    assert run(["plan", "--model", "qwen3-9b", "--json"]) == 2
    assert "Nearest" in capsys.readouterr().err


def test_constraints_come_from_a_file_and_flags_lie_over_it(tmp_path, capsys):
    path = tmp_path / "needs.toml"
    path.write_text('model = "qwen3-8b"\nrequests = 5000\nwhere = ["server"]\n')
    assert run(["plan", "-f", str(path), "--requests", "7000", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["needs"]["requests"] == 7000
    assert found["recommended"]["model"] == "qwen3-8b"
    path.write_text("requests = [")
    assert run(["plan", "-f", str(path)]) == 2


def test_single_estimates_as_commands(capsys):
    assert run(["plan", "memory", "gemma-3-270m", "-c", "4096", "--on", "iphone-16-pro", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parts"]["cache"]["central"] == 27.0
    assert found["fits"] is True
    assert run(["plan", "fit", "llama-3.1-8b", "--on", "rtx-4090", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["decode"]["tag"] == "calibrated"
    assert run(["plan", "tco", "qwen3-32b", "--on", "h100-sxm", "--training", "5000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]
    assert run(["plan", "train-budget", "--quality-of", "13e9", "--served", "2e12", "--json"]) == 0
    (first, *_) = json.loads(capsys.readouterr().out)["budgets"]
    assert round(first["size"] / 1e9, 1) == 7.0
    assert run(["plan", "memory", "llama-3.1-8b", "-c", "-5"]) == 2
    assert run(["plan", "memory", "llama-3.1-8b", "--cache-type-v", "q8_0", "--no-flash"]) == 2


def test_a_draft_makes_one_sequence_faster_and_takes_memory():
    every = options.all_of(needs.made({"model": "qwen3-32b", "where": ["server"], "device": "rtx-5090"}), cost.House())
    plain = next(one for one in every if one.routing == "small only" and one.precision == "Q4_K_M")
    drafted = next(one for one in every if one.routing == "drafting" and one.precision == "Q4_K_M")
    assert drafted.draft == "qwen3-0.6b"
    assert drafted.pace > plain.pace
    assert drafted.memory > plain.memory
    assert not drafted.known  # the acceptance is assumed, so every figure is extrapolated


def test_a_wrong_answer_to_a_question_is_asked_again(monkeypatch, capsys):
    from trimtab.cli import _plan_ask

    said = iter(["moon", "server", -5.0, 5000.0, "cost", 0.2, 1000.0, 300.0, 0.0, -1.0, 0.0, 70.0])
    monkeypatch.setattr(_plan_ask.typer, "prompt", lambda *_, **__: next(said))
    assert _plan_ask.asked() == {
        "where": ("server",), "requests": 5000.0, "fails": "cost", "escalated": 0.2, "prompt": 1000.0, "answer": 300.0,
        "first_p95": 0.0, "quality": 70.0,
    }  # fmt: skip
    assert capsys.readouterr().err.count("cannot be") == 2


def test_the_ledger_is_compared_with_the_plan(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path / "home"))
    path = tmp_path / "needs.toml"
    path.write_text("answer = 5\nescalated = 0.0\n")
    assert run(["plan", "check", "-f", str(path)]) == 2  # nothing was recorded yet
    for question in ("What is 15% of 240?", "How many metres are 3 km?"):
        assert run(["ask", question]) == 0
    capsys.readouterr()
    assert run(["plan", "check", "-f", str(path), "--json"]) == 0
    rows = {row["what"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["escalated"] == {"what": "escalated", "planned": 0.0, "saw": 0.0, "ok": True}
    assert rows["prompts' tokens"]["saw"] < 100
    assert run(["plan", "check", "-f", str(path)]) == 1  # prompts are far shorter than was planned
    assert "differs" in capsys.readouterr().out


def test_what_a_plan_promised_is_held_against_the_ledger(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRIMTAB_HOME", str(tmp_path / "home"))
    assert run(["plan", "--model", "qwen3-8b", "--where", "server", "--private", "--requests", "5000", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    for question in ("What is 15% of 240?", "How many metres are 3 km?"):
        assert run(["ask", question]) == 0
    capsys.readouterr()
    path = tmp_path / "plan.json"

    def rows() -> dict[str, dict[str, object]]:
        path.write_text(json.dumps(planned))
        assert run(["plan", "check", "-f", str(path), "--json"]) == 0
        return {row["what"]: row for row in json.loads(capsys.readouterr().out)["rows"]}

    assert rows()["p95 end to end, s"]["ok"] is True
    assert rows()["escalated"]["planned"] == 0.0  # nothing to escalate to in that plan, whatever the share assumed
    planned["recommended"]["figures"]["whole_p95"].update(low=0.0, central=0.0, high=0.0)
    assert rows()["p95 end to end, s"]["ok"] is False
    planned["recommended"] |= {"runtime": "api", "usd_month": 5000.0}
    assert rows()["USD a request"]["planned"] == 1.0
    assert rows()["escalated"]["ok"] is False


def test_slots_of_one_queue_are_erlangs():
    """M/M/c: exponential lengths, one queue. The wait at p95 is known from Erlang C."""
    from trimtab.plan import load

    found = load.slots(2.0, 0, 100, token=0.01, read=0.0, servers=3, requests=20_000, seed=5)
    assert found.first_p95 == pytest.approx(load.slots_p95(2.0, 1.0, 3), rel=0.1)
    assert found.busy == pytest.approx(2 / 3, rel=0.05)
    assert not load.slots(4.0, 0, 100, token=0.01, read=0.0, servers=3).stable
