"""Properties of the pure parts: the climb ends, never repeats, never descends; money adds up; texts survive."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from trimtab import money, texts
from trimtab.errors import LimitError
from trimtab.escalate import common, kept_from, next_rung, within
from trimtab.types import HERE, Limits, ModelSpec, Price, Request, Span, Usage

amounts = st.decimals(0, 100, places=3)
maybe = st.none() | amounts
whole_prices = st.builds(Price, input=amounts, output=amounts, cached=maybe, cache_write=maybe, cache_write_long=maybe)
prices = st.none() | whole_prices
counts = st.integers(0, 10**6)


@st.composite
def usages(draw):
    """A call's tokens, each part no more than what it is a part of."""
    plain, cached, short, long, said, thought = (draw(counts) for _ in range(6))
    return Usage(
        prompt=plain + cached + short + long, completion=said + thought, cached=cached, cache_write=short + long,
        cache_write_long=long, reasoning=thought, estimated=draw(st.booleans()),
    )  # fmt: skip


ladders = st.lists(prices, max_size=8)


@given(ladders, st.one_of(st.none(), st.integers(0, 10**8)), st.integers(0, 10**7))
def test_the_climb_ends_never_repeats_and_never_descends(given_prices, limit, spent):
    specs = {str(i): ModelSpec(name=str(i), price=price) for i, price in enumerate(given_prices)}
    ladder, position, visited = tuple(specs), -1, []
    usage = Usage(prompt=100, completion=100)
    for _ in range(len(ladder) + 1):
        try:
            step = next_rung(ladder, position, specs=specs, limits=Limits(cost=limit), spent=spent, expected=usage)
        except LimitError:
            assert limit is not None
            break
        if step is None:
            break
        assert step > position
        cost = money.cost(usage, specs[ladder[step]].price)
        assert limit is None or cost == 0 or (cost is not None and spent + cost <= limit)
        visited.append(position := step)
    else:
        raise AssertionError("the climb did not end")
    if limit is None:
        assert visited == list(range(len(ladder))), "without a limit every rung is reached"


@given(st.lists(st.one_of(st.none(), st.integers(0, 10**12))))
def test_a_total_is_the_sum_or_unknown(parts):
    assert money.total(parts) == (None if None in parts else sum(parts))


@given(st.integers(0, 10**7), st.integers(0, 10**7), prices)
def test_a_cost_is_additive_in_tokens_within_rounding(prompt, completion, price):
    whole = money.cost(Usage(prompt=prompt, completion=completion), price)
    parts = money.total([money.cost(Usage(prompt=prompt), price), money.cost(Usage(completion=completion), price)])
    assert (whole is None) == (price is None) == (parts is None)
    if whole is not None:
        assert abs(whole - parts) <= 1


@given(st.lists(usages(), max_size=5), prices)
def test_calls_cost_together_what_they_cost_apart_within_rounding(calls, price):
    apart = money.total(money.cost(usage, price) for usage in calls)
    whole = money.cost(money.together(calls), price)
    if apart is None:
        assert whole is None, "what one part costs is unknown: so is the whole"
    elif price is not None:
        assert whole is not None
        assert abs(whole - apart) <= len(calls)


@given(usages(), whole_prices)
def test_every_token_is_paid_once_at_its_own_price(usage, price):
    """Reckoned from the parts; a written part without a price makes it unknown, and reasoning costs nothing more."""
    short = usage.cache_write - usage.cache_write_long
    written = [(short, price.cache_write), (usage.cache_write_long, price.cache_write_long)]
    cost = money.cost(usage, price)
    assert (cost is None) == any(tokens and rate is None for tokens, rate in written)
    if cost is not None:
        plain = usage.prompt - usage.cached - usage.cache_write
        rate = price.input if price.cached is None else price.cached
        lines = [(plain, price.input), (usage.cached, rate), (usage.completion, price.output), *written]
        assert abs(cost - sum(tokens * (rate or 0) * 1000 for tokens, rate in lines)) <= Decimal("0.5")


@given(st.integers(0, 10**15))
def test_usd_is_exact_both_ways(nano):
    assert money.from_usd(money.usd(nano)) == nano
    assert Decimal(money.usd(nano)) * money.NANO == nano


def test_cached_tokens_cost_their_own_price():
    price = Price(input=Decimal("2.5"), output=Decimal(10), cached=Decimal("0.25"))
    assert money.cost(Usage(prompt=1000, cached=400, completion=10), price) == 600 * 2500 + 400 * 250 + 10 * 10_000


def test_tokens_written_to_a_cache_cost_their_own_price_or_an_unknown_one():
    sonnet = Price(
        input=Decimal(3), output=Decimal(15), cached=Decimal("0.3"), cache_write=Decimal("3.75"),
        cache_write_long=Decimal(6),
    )  # fmt: skip
    usage = Usage(prompt=1000, cached=400, cache_write=500, cache_write_long=200, completion=10, reasoning=7)
    assert money.cost(usage, sonnet) == 100 * 3000 + 400 * 300 + 300 * 3750 + 200 * 6000 + 10 * 15_000
    assert money.cost(usage, Price(input=Decimal(3), output=Decimal(15))) is None


anything = st.text(max_size=40)
parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": anything}), max_size=3)
calls = st.lists(
    st.fixed_dictionaries(
        {"id": anything, "function": st.fixed_dictionaries({"name": anything, "arguments": anything})}
    ),
    max_size=2,
)
messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "system", "assistant", "tool", "odd"]),
            "content": st.one_of(anything, parts, st.none()),
        },
        optional={"tool_calls": calls, "name": anything},
    ),
    max_size=4,
)


@given(messages)
def test_rewriting_with_the_same_text_changes_nothing(given_messages):
    assert texts.rewrite(given_messages, lambda text: text.text) == tuple(given_messages)


@given(messages)
def test_rewriting_reaches_exactly_the_texts_that_are_walked(given_messages):
    rewritten = texts.rewrite(given_messages, lambda text: f"<{text.path}>")
    assert [text.text for text in texts.texts(rewritten)] == [f"<{text.path}>" for text in texts.texts(given_messages)]


@given(anything, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5))
def test_a_cut_leaves_nothing_of_any_span(text, ranges):
    spans = [Span(kind="K", start=a, end=b) for a, b in ranges if a < b <= len(text)]
    covered = {i for span in spans for i in range(span.start, span.end)}
    assert texts.cut(text, spans, lambda _: "") == "".join(c for i, c in enumerate(text) if i not in covered)


lists = st.none() | st.lists(st.sampled_from(["eu", "us", "ch"]), unique=True, max_size=3).map(tuple)


@given(lists, lists, st.sampled_from(["eu", "us", "ch", "", HERE]))
def test_of_two_lists_of_regions_the_stricter_holds(one, other, region):
    def open_to(regions):
        return not kept_from(ModelSpec(region=region), Limits(regions=regions))

    assert open_to(common(one, other)) == (open_to(one) and open_to(other))
    both = within(Request(id="t", messages=(), limits=Limits(regions=one)), other).limits.regions
    assert open_to(both) == (open_to(one) and open_to(other))
