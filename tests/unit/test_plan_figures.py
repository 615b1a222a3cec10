"""Speed, servers, waiting, drafting, cascades, energy and budgets: known answers, and the rules they must keep."""

import math
import random
from datetime import date
from decimal import Decimal
from types import SimpleNamespace

import msgspec
import pytest

from trimtab.errors import ConfigError
from trimtab.plan import (
    budget,
    cascade,
    cost,
    devices,
    doubt,
    drafting,
    energy,
    fit,
    fits,
    load,
    memory,
    models,
    naming,
    prices,
    rates,
    serving,
    snapshot,
    speed,
)  # fmt: skip
from trimtab.plan.figure import Figure, exact, total


def local(model: str, device: str, precision: str = "Q4_K_M", **more) -> speed.Run:
    shape = models.find(model).shape
    return speed.run(shape, memory.weights(shape, precision), devices.find(device), precision, **more)


def server(batch: float = 32, **more) -> serving.Load:
    shape = models.find("llama-3.1-8b").shape
    given = {"gpus": 1, "prompt": 1024, "answer": 1024, "precision": "fp8", **more}
    parts = serving.split(shape, given["precision"])
    return serving.load(shape, parts, devices.find("h100-sxm"), batch=batch, **given)


@pytest.mark.parametrize(
    ("model", "device", "precision", "measured"),
    [
        ("llama-3-8b", "rtx-4090", "Q4_K_M", 127.74), ("llama-3-8b", "m2-ultra", "F16", 36.25),
        ("qwen2.5-14b", "rtx-3060", "Q4_K_M", 29.77), ("gpt-oss-120b", "gb10", "MXFP4", 58.72),
    ],
)  # fmt: skip
def test_decode_is_near_what_was_measured(model, device, precision, measured):
    figure = rates.decode(local(model, device, precision))
    assert figure.low < measured < figure.high
    assert figure.tag == "calibrated"


def test_a_tokens_time_is_the_sum_of_its_terms():
    run = local("llama-3.1-8b", "rpi-5-8gb", depth=4000)
    made = speed.terms(rates.given("decode"), run)
    assert set(made) == {"weights", "layers", "cache", "operations"}
    assert sum(made.values()) == pytest.approx(rates.fast_decode(run))
    pair = speed.terms(rates.given("decode"), local("llama-3.1-70b", "rtx-4090", gpus=2))
    assert set(pair) == {"weights", "layers", "cache", "exchange"}


def test_longer_contexts_and_more_bits_are_slower():
    short, deep = (rates.fast_decode(local("llama-3.1-8b", "rtx-4090", depth=depth)) for depth in (0, 32_000))
    assert deep > short
    assert rates.fast_decode(local("llama-3.1-8b", "rtx-4090", "Q8_0")) > short
    assert rates.fast_prefill(local("llama-3.1-8b", "rtx-4090", tokens=8192)) > 0


def test_a_fuller_server_takes_longer_a_token_and_writes_more_in_all():
    small, large = server(4), server(128)
    assert rates.step_seconds(small) < rates.step_seconds(large)
    assert 4 / rates.step_seconds(small) < 128 / rates.step_seconds(large)
    assert rates.first_seconds(small) < rates.first_seconds(large)


def test_power_lies_between_nothing_and_the_rated_power():
    figure = rates.watts(server(128))
    assert 0 < figure.low < figure.central <= 700
    joules = energy.joules_token(figure, Figure(100, 200, 300, "tok/s", "calibrated"))
    assert joules.low < joules.central < joules.high


def test_heat_halves_a_phone_and_no_server():
    rate = Figure(9, 10, 11, "tok/s", "calibrated")
    assert energy.sustained(devices.find("iphone-16-pro"), rate).central < 7
    assert energy.sustained(devices.find("h100-sxm"), rate) == rate
    assert energy.battery_hours(devices.find("h100-sxm"), rate) is None


def test_unknown_shapes_get_wider_intervals():
    run = local("llama-3.1-8b", "rtx-4090")
    known, guessed = rates.decode(run), rates.decode(run, known=False)
    assert guessed.low < known.low
    assert guessed.high > known.high
    assert guessed.tag == "extrapolated"


def test_a_sum_is_as_sure_as_its_least_sure_part():
    parts = (exact(1, "MiB"), Figure(1, 2, 4, "MiB", "unknown"))
    assert total(parts, "MiB") == Figure(2, 3, 5, "MiB", "unknown")


def test_erlang_c_is_the_textbooks():
    share, wait = load.erlang_c(2, 1, 3)
    assert share == pytest.approx(4 / 9)
    assert wait == pytest.approx(4 / 9)
    assert load.erlang_c(3, 1, 3) == (1.0, math.inf)


def test_the_simulation_agrees_with_a_queue_that_has_a_formula():
    """One slot, tokens of a fixed pace and exponential lengths: M/M/1 waits rho / (mu - lambda)."""
    waits = load.simulate(0.5, 0, 100, step=lambda _: 0.01, read=0.0, slots=1, requests=20_000, seed=3)
    assert waits.busy == pytest.approx(0.5, rel=0.1)
    assert waits.first_p50 == pytest.approx(0, abs=0.05)  # half of the requests find nobody before them
    assert waits.whole_p95 == pytest.approx(math.log(20) / 0.5, rel=0.15)  # sojourn is exponential with mu - lambda


def test_more_load_waits_longer_and_too_much_is_said():
    def at(rate: float) -> load.Waits:
        return load.simulate(rate, 1000, 200, step=lambda batch: 0.01 + 0.0005 * batch, read=2e-5, slots=32)

    calm, busy, lost = at(0.5), at(4), at(40)
    assert calm.first_p95 < busy.first_p95 < lost.first_p95
    assert calm.stable
    assert not lost.stable
    assert lost.bottleneck == "slots"


@pytest.mark.parametrize("rate", [0, -1])
def test_no_load_is_refused(rate):
    with pytest.raises(ConfigError):
        load.simulate(rate, 1, 1, step=lambda _: 1, read=0, slots=1)


def test_the_inference_aware_size_is_the_published_one():
    """arXiv 2401.00448, figure 1: as good as 13B and 2T tokens served, 7B trained on more data saves 17 %."""
    found = budget.aware(budget.LAWS[0], 13e9, 2e12)
    assert found.size / 1e9 == pytest.approx(7.0, abs=0.05)
    assert found.saves == pytest.approx(0.174, abs=0.0005)
    assert budget.aware(budget.LAWS[0], 13e9, 0).saves == pytest.approx(0, abs=1e-6)
    with pytest.raises(ConfigError):
        budget.aware(budget.LAWS[0], -1, 2e12)


def test_drafting_is_leviathans():
    assert drafting.expected(0.8, 5) == pytest.approx((1 - 0.8**6) / 0.2)
    assert drafting.expected(1.0, 5) == 6
    assert drafting.speed_up(0.75, 7, drafting.cost_of(0.077, 11)).central == pytest.approx(3.4, rel=0.15)
    assert drafting.best_length(0.1, 0.5) == 0
    assert drafting.speed_up(0.8, 5, 0.05, batch=256).central < 1.2
    for wrong in ({"acceptance": 1.2}, {"drafted": 0}, {"cost": -1}):
        with pytest.raises(ConfigError):
            drafting.speed_up(**{"acceptance": 0.5, "drafted": 4, "cost": 0.1, **wrong})


def test_a_cascade_pays_both_and_waits_for_both():
    small, large = cascade.Rung(1, (0.1, 0.2), 0.8), cascade.Rung(10, (1.0, 2.0), 0.95)
    found = cascade.cascade(small, large, 0.25, catches=1.0, harm=100)
    assert found.cost == 3.5
    assert found.p50 <= 0.2
    assert found.p95 > 1.1
    assert found.right == pytest.approx(0.8 - 0.05 + 0.25 * 0.95)
    assert found.loss == pytest.approx((1 - found.right) * 100)
    assert cascade.break_even(small, large) == 0.9


def test_a_blend_is_of_distributions_not_of_means():
    """A fifth escalates from 1 s to 10 s more: the mean is 3 s, the median 1, the p95 11, or 10 where it is routed."""
    assert cascade.blended([1.0], [10.0], 0.2, after=True) == (1.0, 11.0)
    assert cascade.blended([1.0], [10.0], 0.2, after=False) == (1.0, 10.0)
    assert cascade.blended([1.0, 2.0], [10.0], 0.0, after=True)[1] == 2.0
    firsts, wholes = cascade.provider(300)
    assert firsts == sorted(firsts)
    assert sum(first < 0.8 for first in firsts) == len(firsts) / 2
    assert min(whole - first for first, whole in zip(firsts, wholes, strict=True)) > 1


def test_api_tiers_are_paid_once():
    listed = prices.find("gpt-5.4")
    assert listed
    assert (listed.price.input, listed.price.output) == (Decimal("2.5"), Decimal(15))
    use = cost.Use(requests=1e6, prompt=1000, answer=100)
    assert cost.api(listed, use) == pytest.approx(2500 + 1500)
    assert cost.api(listed, msgspec.structs.replace(use, cached=1.0)) == pytest.approx(250 + 1500)
    assert cost.api(listed, msgspec.structs.replace(use, batch=1.0)) == pytest.approx(1250 + 750)
    longer = msgspec.structs.replace(use, prompt=272_001)
    assert cost.api(listed, longer) == pytest.approx(272_001 * 5 + 2250)
    assert cost.api(listed, msgspec.structs.replace(longer, prompt=272_000)) == pytest.approx(272_000 * 2.5 + 1500)


def test_who_sells_no_batches_gives_no_discount():
    listed = prices.find("groq/llama-3.3-70b-versatile")
    assert listed
    use = cost.Use(requests=1, prompt=1000, answer=100)
    assert cost.api(listed, msgspec.structs.replace(use, batch=1.0)) == cost.api(listed, use) > 0


def test_a_bare_name_means_its_maker():
    listed = prices.find("claude-sonnet-4-5")
    assert listed
    assert listed.provider == "anthropic"
    assert listed.price.cache_write == Decimal("3.75")
    assert prices.find("openrouter/openai/gpt-oss-120b")
    assert prices.find("openai/gpt-oss-120b") is None  # many sell it, OpenAI does not
    assert prices.find("no-such-model") is None


def test_the_snapshot_takes_tiers_and_batches(tmp_path):
    """On a stand-in of genai-prices' classes: no network, and the package is not a dependency."""
    tiered = SimpleNamespace(base=Decimal(2), tiers=[SimpleNamespace(start=200_000, price=Decimal(4))])
    base = SimpleNamespace(
        input_mtok=tiered, output_mtok=Decimal(10), cache_read_mtok=None, cache_write_mtok=None,
        cache_write_1h_mtok=None,
    )  # fmt: skip
    half = SimpleNamespace(**{**vars(base), "input_mtok": Decimal(1), "output_mtok": Decimal(5)})
    variants = [SimpleNamespace(when={"processing": "batch"}, prices=half),
                SimpleNamespace(when={"service_tier": "flex"}, prices=half)]  # fmt: skip
    free = SimpleNamespace(**{**vars(base), "input_mtok": Decimal(0), "output_mtok": Decimal(0)})
    models = [SimpleNamespace(id="m", get_prices=lambda _: base, price_variants=variants),
              SimpleNamespace(id="free", get_prices=lambda _: free, price_variants=None)]  # fmt: skip
    sellers = [SimpleNamespace(id="x-ai", models=models), SimpleNamespace(id="nobody-knows", models=models)]
    found = list(snapshot.rows(sellers, date(2026, 1, 2), "genai-prices 0"))
    assert [(row["usd_per_mtok_in"], row.get("above_tokens", ""), row.get("batch", "")) for row in found] == [
        ("2", "", ""), ("4", "200000", ""), ("1", "", "1"),
    ]  # fmt: skip
    assert {(row["provider"], row["snapshot"], row["source"]) for row in found} == {
        ("xai", "2026-01-02", "genai-prices 0")
    }
    kept = tmp_path / "prices.csv"
    kept.write_text(
        "provider,model,source\nxai,m,elsewhere\nxai,m-200k,elsewhere\nxai,n,elsewhere\nxai,o-200k,elsewhere\n"
    )
    left = list(snapshot.others(kept, {("xai", "m")}))
    assert [row["model"] for row in left] == ["n", "o-200k"]


def test_own_hardware_is_a_staircase():
    house = cost.House(spare=1, utilisation=0.5)
    use = cost.Use(requests=730 * 3600, prompt=1, answer=1)  # one a second
    assert cost.servers(use, 2.0, house, peak=1) == 2
    assert cost.servers(use.times(1.01), 2.0, house, peak=1) == 3
    at = cost.threshold(lambda x: 100 * math.ceil(x / 100), lambda x: 3 * x, 1, 1000)
    assert at == pytest.approx(100 / 3, rel=0.01)
    assert cost.threshold(lambda x: x, lambda x: 2 * x, 1, 10) is None
    assert cost.payback(1000, 300, 200) == 10
    assert cost.payback(1000, 200, 300) is None


def test_names_of_hubs_are_matched_and_others_sketched():
    rows = models.catalog()
    match = naming.match("nvidia/DeepSeek-R1-NVFP4", rows)
    assert match
    assert match.shape.name == "deepseek-v3"
    assert naming.match("meta-llama/Llama-3.3-70B-Instruct-FP8", rows)
    for name, key in (("Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen3-30b-a3b"),
                      ("meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8", "llama-4-maverick")):  # fmt: skip
        found = naming.match(name, rows)
        assert found
        assert found.shape.name == key
    assert naming.match("nobody/nothing", rows) is None
    sketch = naming.sketch("Nemo-480B-A35B")
    assert sketch
    assert not sketch.known
    assert (sketch.params, sketch.active) == (480e9, 35e9)
    assert naming.sketch("claude") is None


def test_unknown_devices_name_the_nearest():
    with pytest.raises(ConfigError, match="No device") as caught:
        devices.find("rtx-4091")
    assert "rtx-4090" in caught.value.fix
    assert devices.find("RTX 4090").id == "rtx-4090"


def test_a_fit_finds_what_made_the_rows():
    def line(given, x):
        return math.exp(given["a"]) * x + math.exp(given["b"])

    samples = [fit.Sample(x, 2 * x + 3.0, f"d{x % 3}", "m") for x in range(1, 30)]
    found = fit.fit(line, {"a": (0.0, 1e-6), "b": (0.0, 1e-6)}, samples)
    assert math.exp(found["a"]) == pytest.approx(2, rel=0.01)
    assert math.exp(found["b"]) == pytest.approx(3, rel=0.01)
    prior = {"a": (0.0, 1e-6), "b": (0.0, 1e-6)}
    lines = fit.Quantity(formula=line, prior=lambda _: prior, samples=samples, source="here", facts=lambda _: ())
    errors = fit.held_out(lines, lambda sample: sample.device)
    assert max(map(abs, errors)) < 0.01
    low, high = doubt.edges(doubt.Rows(errors, [()] * len(errors), [sample.device for sample in samples]), (0.0,))
    assert -0.02 < low <= high < 0.02


def test_what_a_quantity_rests_on_is_held_out_with_it():
    """The base's rows of device `b` are three times too high: a fit that saw them would be off on `b` by that much."""
    rows = [(x, "ab"[x % 2]) for x in range(1, 21)]
    base = fit.Quantity(
        formula=lambda given, x: math.exp(given["slope"]) * x, prior=lambda _: {"slope": (0.0, 1e-6)}, source="here",
        facts=lambda _: (), samples=[fit.Sample(x, (3.0 if at == "b" else 1.0) * x, at, "m") for x, at in rows],
    )  # fmt: skip
    above = fit.Quantity(
        formula=lambda given, x: math.exp(given["slope"]) * x + math.exp(given["more"]), source="here", base=base,
        facts=lambda _: (), prior=lambda fixed: {"more": (fixed["slope"], 1e-6)},
        samples=[fit.Sample(x, x + 1.0, at, "m") for x, at in rows],
    )  # fmt: skip
    errors = fit.held_out(above, lambda sample: sample.device)
    assert max(abs(e) for e, (_, at) in zip(errors, rows, strict=True) if at == "b") < 0.01
    assert min(abs(e) for e, (x, at) in zip(errors, rows, strict=True) if at == "a" and x > 5) > 0.5


def test_an_interval_holds_four_in_five_of_a_group_that_it_was_not_made_from():
    """Groups differ more than rows of one do: the share within is raised until the next group is held too."""
    coin = random.Random(1)
    groups = [f"g{n}" for n in range(12) for _ in range(30)]
    shifts = {group: coin.gauss(0, 0.3) for group in groups}
    errors = [shifts[group] + coin.gauss(0, 0.05) for group in groups]
    rows = doubt.Rows(errors, [()] * len(errors), groups)
    low, high = doubt.edges(rows, (0.0,))
    plain = sorted(errors)
    assert high - low > plain[int(0.9 * len(plain))] - plain[int(0.1 * len(plain))]
    held = []
    for group in set(groups):
        kept = [index for index, other in enumerate(groups) if other != group]
        part = doubt.Rows([errors[i] for i in kept], [()] * len(kept), [groups[i] for i in kept])
        less, more = doubt.edges(part, (0.0,))
        held += [less <= error <= more for error, other in zip(errors, groups, strict=True) if other == group]
    assert 0.7 < sum(held) / len(held) < 0.95


def test_what_is_hard_has_the_wider_interval():
    """Of two sorts of rows one is four times as far off: the facts say which."""
    coin = random.Random(2)
    facts = [(float(n % 2),) for n in range(400)]
    rows = doubt.Rows(
        [coin.gauss(0, 0.05 if easy else 0.2) for (easy,) in facts], facts, [f"g{n % 20}" for n in range(400)]
    )
    found = doubt.made({"device": rows, "model": rows})
    hard, easy = (found.factors((fact,), "device") for fact in (0.0, 1.0))
    assert hard[0] < easy[0] < 1 < easy[1] < hard[1]
    assert math.log(hard[1]) > 2 * math.log(easy[1])


def test_a_probe_of_noise_is_not_trusted():
    """Where rows of a device have nothing in common, scaling by one of them adds its error to the others'."""
    coin = random.Random(3)
    groups = [f"g{n}" for n in range(20) for _ in range(10)]
    alike = [list(range(10 * n, 10 * n + 10)) for n in range(20)]
    shift = {group: coin.gauss(0, 0.4) for group in groups}
    for common, trusted in ((0.0, False), (1.0, True)):
        errors = [common * shift[group] + coin.gauss(0, 0.1) for group in groups]
        rows = doubt.Rows(errors, [()] * len(errors), groups)
        trust, (low, high) = doubt.probed(rows, alike, (0.0,), same=False)
        assert (trust > 0.5) == trusted
        least, most = doubt.edges(rows, (0.0,))
        assert high - low < 1.05 * (most - least), "and the interval is no wider than without"


def test_every_calibration_names_what_it_is_from():
    for name in ("decode", "prefill", "step", "first", "watts"):
        found = rates.calibration(name)
        assert found.rows > 100
        assert found.source
        assert set(found.doubt.edges) == {"device", "model", "other", "same"}
        assert all(low < 0 < high for low, high in found.doubt.edges.values())
        if name not in ("watts", "written"):
            wide = {new: high - low for new, (low, high) in found.doubt.edges.items()}
            assert max(wide["other"], wide["same"]) < 1.05 * wide["device"], "it tells something, or is not counted"


def test_what_does_not_fit_is_split_and_slower():
    shape = models.find("llama-3.1-70b").shape
    found = fits.fits(shape, (), devices.find("rtx-4090"), fits.Asked(precision="Q4_K_M", context=4096))
    assert not found.fits
    assert found.figures["decode, split"].central < found.figures["decode"].central
    assert found.figures["decode, split"].tag == "extrapolated"
    run = local("llama-3.1-8b", "rtx-4090")
    assert speed.offloaded(0.01, run, 1.0, 50) == 0.01
    assert speed.offloaded(0.01, run, 0.0, 50) == pytest.approx((run.read + run.cached) / 50)
