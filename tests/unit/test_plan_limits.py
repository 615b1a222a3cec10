"""What a plan holds though nobody asked: limits of time for who waits, how many cards one machine takes."""

import subprocess
import sys

import pytest

from trimtab.cli.app import run
from trimtab.errors import ConfigError
from trimtab.plan import choose, cost, crossing, devices, load, needs, options, page, report, tco

SERVER: dict[str, object] = {"private": True, "where": ["server"], "requests": 1000}


def lines(given: dict[str, object]) -> tuple[choose.Plan, str]:
    plan = choose.plan(needs.made(given))
    return plan, "\n".join(report.text(plan, {}))


def test_someone_waits_unless_it_is_said_that_nobody_does():
    assert (needs.made({}).latest, needs.made({}).slowest) == (needs.WAIT, needs.READ)
    assert (needs.made({"first_p95": 0}).latest, needs.made({"pace": 0}).slowest) == (None, None)
    assert needs.made({"first_p95": 7}).latest == 7
    assert needs.made({"batch": 1}).latest is None, "all of them may wait for a day"


def test_the_limit_that_was_assumed_is_held_and_said():
    plan, shown = lines(SERVER)
    assert plan.best.first_p95 <= needs.WAIT
    assert plan.best.pace >= needs.READ
    assert "2 s to the first token (p95) and 5 tokens/s, assumed for someone who waits" in shown
    assert report.values(plan, {})["limits"] == {"first_p95_s": 2.0, "tokens_s": 5.0}


def test_who_asks_for_no_limit_gets_the_cheapest():
    patient, shown = lines(SERVER | {"first_p95": 0, "pace": 0})
    hurried, _ = lines(SERVER)
    assert patient.best.cost is not None
    assert hurried.best.cost is not None
    assert patient.best.cost < hurried.best.cost
    assert "assumed for someone" not in shown


def test_where_nothing_meets_it_the_next_best_is_said_to_be_slower():
    plan, shown = lines({"device": "rpi-5-8gb", "requests": 100, "private": True, "model": "qwen3-4b"})
    assert plan.best.first_p95 > needs.WAIT
    assert f"p95 here is {plan.best.first_p95:.3g} s" in shown
    with pytest.raises(ConfigError, match="first_p95"):
        choose.plan(needs.made({"device": "rpi-5-8gb", "private": True, "first_p95": 2.0}))


def test_a_machine_takes_four_cards_and_more_if_it_is_said():
    asked = {"model": "llama-3.1-70b", "device": "rtx-4060", "private": True, "first_p95": 0, "pace": 0}
    with pytest.raises(ConfigError, match="each of 4"):
        choose.plan(needs.made(asked))
    assert choose.plan(needs.made(asked | {"gpus": 8})).best.gpus == 8
    every = options.all_of(needs.made({"model": "llama-3.1-405b"}), cost.House())
    most = {one.device: max(o.gpus for o in every if o.device == one.device) for one in every if one.device}
    assert all(count <= devices.find(name).most for name, count in most.items())
    assert most["h100-sxm"] == 8
    with pytest.raises(ConfigError, match="gpus"):
        needs.made({"gpus": 64})


def test_servers_are_added_for_a_limit_of_time():
    few, wait = load.enough(1.0, 2.0, 3, None)
    more, less = load.enough(1.0, 2.0, 3, 0.5)
    assert few == 3
    assert wait > 0.5 >= less
    assert more > 3
    assert load.enough(1.0, 2.0, 3, -1.0) == (3, wait), "no number of servers reads a prompt sooner"


def test_growth_starts_at_what_is_recommended():
    for given in (SERVER, {"device": "strix-halo", "requests": 1_000_000, "private": True}):
        plan, _ = lines(given)
        money, _, servers = plan.growth["1x"]
        assert servers == plan.best.servers
        assert money == pytest.approx(plan.best.cost)
        assert crossing.servers_at(plan.best, plan.held, plan.house, 1.0) == plan.best.servers


def test_latency_is_not_bought_at_any_price():
    quick = choose.plan(needs.made({"fails": "latency", "requests": 10_000_000}))
    near = [one for one in quick.front if one.first_p95 <= 2 * choose.FELT]
    assert quick.best.cost == min(one.cost or 0.0 for one in near)


def test_devices_that_nothing_planned_runs_on_are_said_to_be():
    with pytest.raises(ConfigError, match="inf2"):
        choose.plan(needs.made({"device": "inf2", "private": True}))


def test_a_state_is_read_once_however_long_the_context():
    """Of a hybrid's cache only what attends grows: it writes nearly as fast after 30,000 tokens."""
    short, long = (
        next(
            one for one in options.all_of(needs.made({"model": "granite-4.0-h-tiny", "device": "rtx-4090",
                                                      "prompt": prompt}), cost.House())
            if one.runtime == "llama.cpp" and one.precision == "Q4_K_M" and one.routing == "small only"
        ) for prompt in (1000, 30_000)
    )  # fmt: skip
    assert long.pace > 0.8 * short.pace


def test_a_phone_has_no_bill_and_no_queue():
    shown = page.page(choose.plan(needs.made({"device": "sm8850", "model": "qwen3-1.7b", "private": True})), {})
    assert "Nothing is paid for it." in shown
    assert "nobody waits for another" in shown
    assert "provider scales" not in shown


def test_an_edge_device_is_bought_and_shared():
    found = choose.plan(needs.made({"where": ["edge"], "requests": 100_000, "private": True}))
    assert found.best.cost
    assert found.best.servers > 1
    assert found.figures["first_p95"]


def test_a_file_that_cannot_be_written_is_said_to_be(tmp_path, capsys):
    nowhere = tmp_path / "none" / "plan.html"
    for flag in ("--html", "--write"):
        assert run(["plan", "--device", "l4", "--model", "qwen3-4b", flag, str(nowhere)]) == 2
        assert "cannot be written" in capsys.readouterr().err


def test_the_module_ends_as_the_command_does():
    """`python -m trimtab` once ended with 0 whatever happened."""
    found = subprocess.run(
        [sys.executable, "-m", "trimtab", "plan", "--requests", "nan"], capture_output=True, check=False
    )
    assert found.returncode == 2
    assert b"requests = nan" in found.stderr


def test_a_comparison_says_what_it_lacks():
    with pytest.raises(ConfigError, match="no price of m4"):
        tco.compare("qwen3-8b", "m4", "gpt-5.4", requests=1000, prompt=1000, answer=300)
    with pytest.raises(ConfigError, match="does not hold"):
        tco.compare("llama-3.1-70b", "rtx-4060", "gpt-5.4", requests=1000, prompt=1000, answer=300)
    with pytest.raises(ConfigError, match="training"):
        tco.compare("qwen3-8b", "l4", "gpt-5.4", requests=1, prompt=1, answer=1, training=float("nan"))


def test_kernels_that_do_not_exist_are_not_planned():
    every = options.all_of(needs.made({"model": "gpt-oss-20b", "private": True}), cost.House())
    served = {one.device for one in every if one.runtime == "vllm"}
    assert {"rtx-4090", "h100-sxm", "r9700"} <= served
    assert not served & {"rtx-2080-ti", "t4", "rx-7900-xtx"}
