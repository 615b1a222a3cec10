"""Metrics: what is counted, under which labels, and that neither a client nor a server can make a label."""

from contextlib import suppress

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from trimtab import flow, testing
from trimtab.errors import ConfigError, RequestError, UpstreamDownError
from trimtab.load import options
from trimtab.record import _cells
from trimtab.record.metrics import Metrics, Options, build
from trimtab.store.engine import Store
from trimtab.types import Action, Decision, ModelSpec, Pending, Request, Step, Trace, Usage, Wishes


def trace(**changes):
    given = {"request": testing.ask("Hi"), "at": 1.0, "ms": 8.0, "outcome": "answer"}
    return Trace(**{**given, **changes})


def metrics():
    return Metrics(Options(store=False, process=False), None)


def samples(kept, parse=plain, accept=""):
    """Every sample as name -> {labels: value}."""
    found = {}
    for family in parse(kept.expose(accept)[0].decode()):
        for one in family.samples:
            found.setdefault(one.name, {})[tuple(sorted(one.labels.items()))] = one.value
    return found


async def walk(models, *asked, **parts):
    """Requests down a real path with metrics at its end."""
    kept = metrics()
    desk = testing.desk(models, recorders=(kept,), **parts)
    for request in asked:
        with suppress(RequestError, UpstreamDownError):
            await flow.run(desk, request)
    return samples(kept)


async def test_requests_steps_tokens_and_money_of_an_escalation():
    usage = Usage(prompt=1000, completion=500, cached=100)
    found = await walk({"small": testing.Passes(), "large": testing.Says(usage=usage)}, testing.ask("Hi"))
    assert found["trimtab_requests_total"] == {(("answered_by", "large"), ("outcome", "answer")): 1}
    steps = found["trimtab_steps_total"]
    assert steps[("by", "small"), ("ok", "false"), ("stage", "answer")] == 1
    assert steps[("by", "large"), ("ok", "true"), ("stage", "answer")] == 1
    tokens = found["trimtab_tokens_total"]
    assert tokens[("counted", "true"), ("direction", "input"), ("model", "large")] == 1000
    assert tokens[("counted", "true"), ("direction", "output"), ("model", "large")] == 500
    assert tokens[("counted", "true"), ("direction", "cached"), ("model", "large")] == 100
    assert found["trimtab_cost_usd_total"] == {(("by", "large"),): 0.002}  # 1000 at 1 USD and 500 at 2 USD a million
    assert found["trimtab_baseline_usd_total"] == {(): 0.002}
    assert found["trimtab_compared_cost_usd_total"] == {(): 0.002}
    assert found["trimtab_uncompared_total"] == {(): 0}


async def test_an_unknown_cost_is_counted_apart_and_not_as_zero():
    specs = {"m": ModelSpec(name="m", price=None, abilities=frozenset({"chat"}))}
    found = await walk({"m": testing.Says()}, testing.ask("Hi"), specs=specs)
    assert found["trimtab_cost_unknown_total"] == {(("by", "m"),): 1}
    assert "trimtab_cost_usd_total" not in found
    assert found["trimtab_uncompared_total"] == {(): 1}
    assert found["trimtab_baseline_usd_total"] == {(): 0}


async def test_findings_have_their_rule_and_action_and_a_watching_guard_is_shadow():
    seats = (
        testing.seat(testing.Finds("mail"), "watch", shadow=True),
        testing.seat(testing.Finds("mail"), "mails", action=Action.REDACT),
        testing.seat(testing.Finds("bomb"), "bombs"),
    )
    asked = (testing.ask("mail"), testing.ask("a bomb"), testing.ask("fine"))
    found = await walk({"m": testing.Says()}, *asked, guards=seats)
    assert found["trimtab_guard_findings_total"] == {
        (("action", "shadow"), ("code", "found"), ("rule", "watch")): 1,
        (("action", "redact"), ("code", "found"), ("rule", "mails")): 1,
        (("action", "refuse"), ("code", "found"), ("rule", "bombs")): 1,
    }
    assert found["trimtab_requests_total"][("answered_by", ""), ("outcome", "refused")] == 1


async def test_a_guard_that_crashes_and_fails_open_is_a_finding_that_was_allowed():
    seats = (testing.seat(testing.Breaks(ValueError("x")), "broken", fail_open=True),)
    found = await walk({"m": testing.Says()}, testing.ask("Hi"), guards=seats)
    assert found["trimtab_guard_findings_total"] == {
        (("action", "allow"), ("code", "judge_crashed"), ("rule", "broken")): 1
    }


async def test_tickets_and_errors_have_their_codes():
    waits = await walk({"m": testing.Passes()}, testing.ask("Hi"), approver=testing.Inbox())
    assert waits["trimtab_tickets_total"] == {(("code", "unanswered"),): 1}
    down = await walk({"m": testing.Breaks(UpstreamDownError("Down."))}, testing.ask("Hi"))
    assert down["trimtab_errors_total"] == {(("code", "upstream_down"),): 1}
    assert down["trimtab_requests_total"] == {(("answered_by", ""), ("outcome", "error")): 1}


async def test_what_a_server_says_makes_no_label():
    said = RequestError("No.", code="jane@example.com is over quota")
    found = await walk({"m": testing.Breaks(said)}, testing.ask("Hi"))
    assert found["trimtab_errors_total"] == {(("code", "other"),): 1}


@pytest.mark.parametrize("wished", ["sk-0123456789abcdef", "x" * 500, 'a"\n}'])
async def test_what_a_client_says_makes_no_label(wished):
    request = testing.ask("Tell nobody.", wishes=Wishes(model=wished), principal=wished, params={"user": wished})
    kept = metrics()
    await kept.record(trace(request=request, outcome="error", code="model_not_found"))
    await kept.record(trace(request=request, answered_by=wished, decision=Decision(ladder=("m",))))
    page = kept.expose()[0].decode()
    assert wished not in page
    assert "Tell nobody" not in page
    assert samples(kept)["trimtab_requests_total"][("answered_by", "other"), ("outcome", "answer")] == 1


async def test_no_family_grows_without_end():
    kept = metrics()
    for i in range(3 * _cells.LIMIT):
        steps = (
            Step(stage="guard", by=f"g{i}", ms=1.0, code=f"c{i}:refuse", cost=None),
            Step(stage="answer", by=f"m{i}", ms=1.0, cost=5, usage=Usage(prompt=1, completion=1)),
        )
        request = Request(id=f"tr_{i}", messages=())
        by = Decision(ladder=(f"m{i}",))
        await kept.record(trace(request=request, steps=steps, decision=by, answered_by=f"m{i}"))
        await kept.record(trace(request=request, outcome="pending", code=f"why{i}"))
    found = samples(kept)
    for name in ("steps", "tokens", "cost_usd", "cost_unknown", "guard_findings", "requests", "tickets"):
        assert len(found[f"trimtab_{name}_total"]) <= _cells.LIMIT + 4, name
    assert sum(found["trimtab_requests_total"].values()) == 6 * _cells.LIMIT, "nothing is lost to the limit"
    assert sum(found["trimtab_tokens_total"].values()) == 6 * _cells.LIMIT


async def test_histograms_count_in_the_right_bucket_and_sum_to_their_total():
    kept = metrics()
    for ms in (0.5, 1.0, 1.1, 250.0, 500_000.0):
        steps = (Step(stage="answer", by="m", ms=ms, ok=ms > 1),)
        await kept.record(trace(ms=ms, steps=steps, answered_by="m", decision=Decision(ladder=("m",))))
    found = samples(kept)
    buckets = {dict(labels)["le"]: n for labels, n in found["trimtab_request_duration_seconds_bucket"].items()}
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.25"], buckets["120.0"], buckets["+Inf"]) == (2, 3, 4, 4, 5)
    key = (("outcome", "answer"),)
    assert found["trimtab_request_duration_seconds_count"][key] == 5
    assert found["trimtab_request_duration_seconds_sum"][key] == pytest.approx(500.2526)
    by_step = {dict(labels)["le"]: n for labels, n in found["trimtab_step_duration_seconds_bucket"].items()}
    assert (by_step["0.00025"], by_step["0.001"], by_step["0.005"], by_step["0.5"]) == (0, 2, 3, 4)
    step = found["trimtab_step_duration_seconds_count"]
    assert step == {(("by", "m"), ("stage", "answer")): 5}, "ok or not, one histogram"
    assert list(buckets.values()) == sorted(buckets.values())


async def test_both_formats_say_the_same():
    kept = metrics()
    await kept.record(trace(steps=(Step(stage="route", by="", ms=1.0),), cost=None))
    page, kind = kept.expose("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")
    accept = "application/openmetrics-text; version=1.0.0"
    assert samples(kept, openmetrics, accept) == samples(kept)
    assert kept.expose("text/html")[1].startswith("text/plain; version=0.0.4")


async def test_two_systems_in_one_process_count_for_themselves():
    one, other = metrics(), metrics()
    await one.record(trace())
    assert "trimtab_requests_total" in samples(one)
    assert "trimtab_requests_total" not in samples(other)


async def test_the_database_is_watched(tmp_path):
    store = Store.open(tmp_path / "trimtab.db")
    kept = build(Options(process=False), testing.tools(tmp_path, store=lambda: store))
    found = samples(kept)
    assert found["trimtab_ledger_failing"] == {(): 0}
    assert found["trimtab_ledger_lost_rows_total"] == {(): 0}
    from trimtab.store.tables import traces

    await store.write(traces.insert(), {"id": None}, durable=False)  # a row that no database takes
    await store.flush()
    found = samples(kept)
    assert found["trimtab_ledger_failing"] == {(): 1}
    assert found["trimtab_ledger_lost_rows_total"] == {(): 1}
    assert found["trimtab_ledger_queue_rows"] == {(): 0}
    await store.close()


def test_a_database_that_cannot_be_opened_is_a_sample_not_a_failed_scrape(tmp_path):
    (tmp_path / "trimtab.db").write_bytes(b"not a database, and long enough to be looked at as one" * 50)
    kept = build(Options(process=False), testing.tools(tmp_path))
    assert samples(kept)["trimtab_ledger_failing"] == {(): 1}


def test_the_process_is_watched_unless_switched_off():
    assert b"process_resident_memory_bytes" in Metrics(Options(store=False), None).expose()[0]
    assert b"process_" not in metrics().expose()[0]


def test_an_option_that_is_none_is_an_error():
    with pytest.raises(ConfigError, match="stores"):
        options("record", "metrics", {"stores": True})


def test_a_pending_outcome_has_no_money_compared():
    kept = metrics()
    result = Pending(ticket="t", code="high_impact", why="")
    kept.cells.add(trace(outcome="pending", code="high_impact", result=result, baseline=None))
    assert samples(kept)["trimtab_uncompared_total"] == {(): 0}
