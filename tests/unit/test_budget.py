"""The guard `budget`: one request may have so much and no more."""

from decimal import Decimal
from pathlib import Path

import pytest

from trimtab import testing
from trimtab.errors import ConfigError
from trimtab.guard import budget
from trimtab.texts import texts
from trimtab.types import Price

PRICE = Price(input=Decimal(1), output=Decimal(10))


async def asked(limits, *said, **params):
    guard = budget.build(budget.Options(**limits), testing.tools(Path()))
    request = testing.ask(*said, params=params)
    return await guard.check(texts(request.messages), request)


@pytest.mark.parametrize(
    ("limits", "said", "params"),
    [
        ({"characters": 10}, ["12345", "123456"], {}),
        ({"tokens": 5}, ["word " * 40], {}),
        ({"messages": 1}, ["a", "b"], {}),
        ({"completion": 100}, ["a"], {"max_tokens": 101}),
        ({"completion": 100}, ["a"], {"max_completion_tokens": 101}),
        ({"choices": 1}, ["a"], {"n": 2}),
        ({"usd": Decimal("0.001"), "price": PRICE}, ["a"], {"max_tokens": 101}),
        ({"usd": Decimal("0.001"), "price": PRICE}, ["a"], {"max_tokens": 26, "n": 4}),
        ({"usd": Decimal("0.001"), "price": PRICE, "completion": 200}, ["a"], {}),
    ],
)
async def test_a_request_over_a_limit_is_found_and_says_by_how_much(limits, said, params):
    verdict = await asked(limits, *said, **params)
    assert (verdict.ok, verdict.code) == (False, "request_over_budget")
    assert verdict.score > 1
    assert "the most that one request may have" in verdict.why


@pytest.mark.parametrize(
    ("limits", "said", "params"),
    [
        ({}, ["x" * 10_000], {"n": 9, "max_tokens": 10**9}),
        ({"characters": 11}, ["12345", "123456"], {}),
        ({"messages": 2, "choices": 1, "completion": 100}, ["a", "b"], {"max_tokens": 100}),
        ({"usd": Decimal("0.001"), "price": PRICE}, ["a"], {"max_tokens": 99}),
        ({"completion": 1}, ["a"], {"max_tokens": True, "n": "many"}),
    ],
)
async def test_a_request_within_its_limits_passes(limits, said, params):
    assert (await asked(limits, *said, **params)).ok


async def test_the_largest_text_is_where_it_is_too_long():
    verdict = await asked({"characters": 10}, "12345", "1234567")
    assert [(span.path, span.end) for span in verdict.spans] == [("messages[1].content", 7)]


@pytest.mark.parametrize(
    "limits", [{"usd": Decimal(1)}, {"price": PRICE}, {"tokens": -1}, {"usd": Decimal("NaN"), "price": PRICE}]
)
def test_limits_that_cannot_be_kept_are_refused(limits, tmp_path):
    with pytest.raises(ConfigError):
        budget.build(budget.Options(**limits), testing.tools(tmp_path))
