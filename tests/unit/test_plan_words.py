"""What a plan says of constraints that are wrong, and of what does not fit."""

import subprocess
import sys

import pytest

from trimtab.errors import ConfigError
from trimtab.plan import choose, devices, fits, models, needs, page, rejected
from trimtab.plan.option import Option


def test_a_file_from_an_editor_that_marks_its_bytes_is_read(tmp_path):
    path = tmp_path / "needs.toml"
    path.write_bytes(b'\xef\xbb\xbfrequests = 5\nwhere = "server, edge"\n')
    found = needs.read(path, {})
    assert (found.requests, found.where) == (5, ("server", "edge"))


def test_a_wrong_constraint_is_called_by_its_name():
    with pytest.raises(ConfigError, match="requests is wrong: expected float, got str"):
        needs.made({"requests": "many"})
    with pytest.raises(ConfigError, match="where is wrong: expected str, got int"):
        needs.made({"where": ["server", 3]})


def test_a_model_of_a_provider_is_named_elsewhere():
    with pytest.raises(ConfigError, match=r"provider's model.*--large gpt-5\.4"):
        choose.plan(needs.made({"model": "gpt-5.4"}))
    with pytest.raises(ConfigError) as caught:
        models.find("zzzzzz")
    assert caught.value.fix.startswith("Give a config.json")


def test_a_small_budget_is_not_rounded_away():
    with pytest.raises(ConfigError, match=r"a month > 0\.01"):
        choose.plan(needs.made({"private": True, "budget": 0.01, "device": "rtx-4090"}))


def test_the_nearest_miss_is_one_that_looser_limits_let_in():
    def missed(model: str, tokens: float, fails: dict[str, str]) -> Option:
        return Option(
            model=model, precision="Q4_K_M", runtime="llama.cpp", device="m2", gpus=1, servers=1, routing="alone",
            quality=50.0, memory=1.0, usable=1.0, pace=tokens, first=1.0, first_p95=9.0, cost=1.0, watts=None,
            fails=fails,
        )  # fmt: skip

    large = missed("too-large", 4.9, {"pace": "4.9 tok/s < 5", "memory": "59 GiB > 7 GiB"})
    slow = missed("slow", 3.0, {"pace": "3.0 tok/s < 5", "first_p95": "9 s > 2 s", "quality": "50 % < 60 %"})
    assert rejected.reasons([large, slow])["pace"] == (2, f"{slow.name}: 3.0 tok/s < 5")


def test_what_does_not_fit_is_read_from_the_host_or_the_disk():
    shape = models.find("llama-3.1-70b").shape
    asked = fits.Asked(precision="Q4_K_M")
    for device, name in (("rtx-4090", "decode, split"), ("rpi-5-8gb", "decode, disk"), ("m2", "decode, disk")):
        found = fits.fits(shape, (), devices.find(device), asked)
        assert not found.fits
        assert found.figures[name].tag == "extrapolated"
        assert found.figures[name].high < found.figures["decode"].high
    most = found.figures["memory"].central - devices.find("m2").usable
    assert found.figures["decode, disk"].high < fits.DISK[2] / (most / 1024)  # a token reads what is on the disk


def test_a_page_says_that_a_cost_is_not_known():
    shown = page.page(choose.plan(needs.made({"device": "m4-max", "private": True})), {})
    assert shown.count("no price of m4-max is listed") == 2
    assert "Nothing is paid" not in shown
    assert "this plan</text>" not in shown
    assert "gpt-5.4</text>" in shown


def test_called_as_a_module_it_names_itself_so():
    done = subprocess.run(
        [sys.executable, "-m", "trimtab", "plan", "--nothing"], capture_output=True, text=True, check=False
    )
    assert "-m trimtab plan --help" in done.stderr
    assert "__main__" not in done.stderr
