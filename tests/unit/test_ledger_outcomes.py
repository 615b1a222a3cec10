"""The ledger as outcomes: what people said counts, what nobody spoke of or whose text is gone does not."""

from trimtab import testing
from trimtab.record import _feedback, _outcomes, ledger
from trimtab.route import _watch
from trimtab.settings import Contract
from trimtab.types import Answer, Trace

PROMISE = Contract(small="small", large="large", allowed=0.1)


async def recorded(store, id, question, by, said, **changes):
    tools = testing.tools(store.path.parent, store=lambda: store)
    keep = ledger.build(ledger.Options(store_text=changes.pop("store_text", "full")), tools)
    request = testing.ask(question, id=id, **changes)
    answer = Answer(text=said, model=by)
    await keep.record(Trace(request=request, at=1.0, ms=1.0, outcome="answer", answered_by=by, result=answer))


async def test_feedback_is_an_outcome_of_who_answered_and_the_mean_of_what_was_said(store):
    await recorded(store, "tr_1", "Why?", "small", "Because.")
    await recorded(store, "tr_2", "How?", "small", "So.")
    await recorded(store, "tr_3", "Who?", "large", "Me.", store_text="none")
    for one, score in (("tr_1", 1.0), ("tr_1", 0.5), ("tr_3", 1.0)):
        await store.flush()
        await _feedback.give(store, one, score=score)
    (one,) = await _outcomes.outcomes(store, {"default": PROMISE})
    assert (one.question, one.right, one.answers) == ("Why?", {"small": 0.75}, {"small": "Because."})
    assert not await _outcomes.outcomes(store, {}, since=2.0)


async def test_an_audit_gives_both_models_and_the_texts_of_both(store):
    await recorded(store, "tr_1", "Why?", "small", "Because.")
    await recorded(store, "audit_large_tr_1", "Why?", "large", "For this reason.", principal="audit")
    watch = _watch.Watch(lambda: store, [PROMISE], {"default": "p"})
    shadow = _watch.Shadow(trace_id="tr_1", contract=PROMISE, answered="small", how="judged", small=0.5, large=1.0,
                           tokens={"small": (3, 2), "large": (3, 4)}, small_nano=1000)  # fmt: skip
    await watch.add(shadow)
    (one,) = await _outcomes.outcomes(store, {"default": PROMISE})
    assert one.right == {"small": 0.5, "large": 1.0}
    assert one.answers == {"small": "Because.", "large": "For this reason."}
    assert (one.cost, one.tokens["large"]) == ({"small": 1e-6}, (3, 4)), "an unknown cost is left out, not 0"
    await recorded(store, "tr_2", "When?", "small", "Now.")
    await watch.add(_watch.Shadow(trace_id="tr_2", contract=PROMISE, answered="small", how="unreadable"))
    _, lost = await _outcomes.outcomes(store, {"default": PROMISE})
    assert lost.right == {"small": 0.0, "large": 1.0}, "what no judge could grade is not left out of a fair sample"
    assert not await _outcomes.outcomes(store, {}), "an audit of a contract that is gone names no models"
