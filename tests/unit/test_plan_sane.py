"""Plans that a critical reader would not laugh at: each test is an absurdity that a sweep over the catalog showed."""

import re

import pytest

from trimtab.plan import choose, cost, needs, options, page, rates, tco


@pytest.fixture(scope="module")
def chosen() -> choose.Plan:
    return choose.plan(needs.made({"quality": 70, "requests": 1_000_000, "first_p95": 3, "licence": "Apache"}))


def test_who_asks_for_no_quality_gets_no_toy(chosen):
    unasked, anything = needs.made({"private": True}), needs.made({"private": True, "quality": 0})
    assert unasked.least == needs.FLOOR
    assert anything.least is None
    assert needs.made({"model": "smollm2-135m"}).least is None, "who names a model wants it"
    assert chosen.needs.least == 70


def test_the_prompt_is_read_by_the_servers_own_devices(chosen):
    """The time to the first token of an option is that of its load, which `trimtab plan fit` shows too."""
    served = next(one for one in chosen.front if one.runtime == "vllm")
    load = choose._load(served, chosen.needs)
    assert load.reader_gpus == served.gpus
    assert served.first == pytest.approx(rates.first_seconds(load), rel=0.02)


def test_what_is_shown_was_simulated(chosen):
    """Also where waiting seemed shorter by the formula than it is: the quickest is the quickest of the simulation."""
    quick = choose.plan(needs.made({"fails": "latency", "quality": 80, "where": ["server"]}))
    soonest = min(one.first_p95 for one in quick.front)
    assert quick.best.first_p95 <= choose.FELT + max(choose.FELT, soonest)
    for plan in (chosen, quick):
        for one in plan.front:
            if not one.large and (waits := choose.simulated(one, plan.needs, plan.needs.rate)):
                assert one.first_p95 == max(waits.first_p95, one.first)
    read = choose._load(quick.best, quick.needs)
    assert quick.best.first_p95 > rates.overhead_seconds(read)


def test_of_what_costs_the_same_the_better_one_is_first(chosen):
    least = min(one.cost for one in chosen.front)
    alike = [one for one in chosen.front if one.cost <= least * choose.SAME]
    assert chosen.best in alike
    assert chosen.best.quality == max(one.quality for one in alike)


def test_a_provider_that_breaks_a_constraint_is_said_to():
    found = choose.plan(needs.made({"pace": 100, "quality": 70, "requests": 10_000, "where": ["server", "cloud"]}))
    volume = next(flip for flip in found.flips if flip.what == "volume")
    assert found.best.runtime != "api"
    assert "gpt-5.4 (ruled out: pace) is cheaper below" in volume.says
    assert "(now 13 M)" in volume.says


def test_the_flip_of_a_small_volume_is_that_of_any():
    """At any volume below it the provider is recommended; where it ends does not depend on which."""
    low, high = (
        choose.plan(needs.made({"quality": 70, "requests": requests, "where": ["server", "cloud"]}))
        for requests in (100, 20_000)
    )
    assert low.best.runtime == high.best.runtime == "api"
    first, second = (next(flip.at for flip in plan.flips if flip.what == "volume") for plan in (low, high))
    assert first == pytest.approx(second, rel=0.03)


def test_the_nearest_of_the_rejected_is_near(chosen):
    _, why = chosen.rejected["first_p95"]
    seconds = float(why.split("p95 TTFT ")[1].split(" s >")[0])
    assert seconds < 6, "of those that break nothing else the one that waits least over the limit of 3 s"


def test_old_devices_serve_no_batches():
    found = options.all_of(needs.made({"device": "gtx-1070", "model": "qwen3-4b"}), cost.House())
    assert found
    assert "vllm" not in {one.runtime for one in found}


def test_servers_of_devices_that_nobody_measured_are_extrapolated():
    asked = {"model": "qwen3-8b", "private": True, "requests": 1_000_000}
    tags = {
        device: choose.plan(needs.made(asked | {"device": device})).figures["pace"].tag
        for device in ("h100-sxm", "rtx-2080-ti")
    }
    assert tags == {"h100-sxm": "calibrated", "rtx-2080-ti": "extrapolated"}


def test_the_sensitivity_has_no_line_through_its_labels(chosen):
    drawn = page._tornado(chosen)
    labels = [float(y) for y in re.findall(r'<text x="0" y="(\d+)"', drawn)]
    lines = [(float(top), float(top) + float(tall)) for top, tall in re.findall(r"<path d=\"M\S+ (\d+)v(\d+)", drawn)]
    assert len(lines) == len(labels) - 1, "one a bar; the last label says what they mean"
    assert not any(top < label and label - 13 < foot for label in labels for top, foot in lines)


def test_own_hardware_is_compared_as_the_cheapest_at_each_volume():
    found = tco.compare("qwen3-8b", "rtx-4090", "gpt-5.4", requests=10_000, prompt=1000, answer=300, training=5000)
    assert found["payback_months"] is None
    assert "never paid back" in tco.lines(found)[-1]
    assert [row["own"] for row in found["rows"]] == sorted(row["own"] for row in found["rows"])
    assert "llama.cpp" in found["rows"][0]["option"]
