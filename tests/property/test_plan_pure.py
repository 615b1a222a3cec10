"""What holds for every shape, session, load and constraint, not for the listed ones alone."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import ConfigError
from trimtab.plan import budget, cache, checkpoint, cost, load, models, quantize, tensors
from trimtab.plan.cache import Session
from trimtab.plan.tensors import Tensor

SHAPES = st.sampled_from([row.shape for row in models.catalog().values()])
SESSIONS = st.builds(
    Session, context=st.integers(1, 200_000), sequences=st.integers(1, 8), micro=st.sampled_from([128, 512, 2048]),
    keys=st.sampled_from(sorted(cache.BYTES)), values=st.sampled_from(sorted(cache.BYTES)), unified=st.booleans(),
    whole_window=st.booleans(), flash=st.just(True),
)  # fmt: skip


@given(SHAPES, SESSIONS)
@settings(deadline=None)
def test_a_ring_is_never_larger_than_the_whole_cache(shape, session):
    whole = Session(**{name: getattr(session, name) for name in Session.__struct_fields__} | {"whole_window": True})
    assert 0 <= cache.keys_values(shape, session) <= cache.keys_values(shape, whole)


@given(SHAPES, SESSIONS, st.integers(1, 50_000))
@settings(deadline=None)
def test_more_context_never_takes_less(shape, session, more):
    longer = Session(**{name: getattr(session, name) for name in Session.__struct_fields__}
                     | {"context": session.context + more})  # fmt: skip
    assert cache.keys_values(shape, longer) >= cache.keys_values(shape, session)
    assert cache.cells(session) % cache.PAD == 0


@given(st.sampled_from(quantize.MIXTURES), st.integers(1, 20_000), st.integers(1, 300))
@settings(deadline=None)
def test_every_tensor_gets_a_type_that_its_rows_divide(mixture, columns, rows):
    shape = models.find("llama-3.2-1b").shape
    for name in ("blk.0.attn_v.weight", "blk.3.ffn_down.weight", "output.weight", "blk.1.attn_output.weight"):
        ((tensor, kind),) = quantize.types(shape, (Tensor(name, (columns, rows)),), mixture)
        assert columns % quantize.BLOCKS[kind][0] == 0
        assert quantize.size(tensor, kind) > 0


@given(SHAPES)
@settings(deadline=None)
def test_no_tensor_reads_more_than_itself(shape):
    assert all(0 <= tensor.read <= 1 and tensor.count > 0 for tensor in tensors.tensors(shape))


@given(st.binary(max_size=400))
@settings(max_examples=300)
def test_any_bytes_are_a_gguf_or_a_clear_error(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("gguf") / "noise.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + noise)
    with pytest.raises(ConfigError):
        checkpoint.read(path)


@given(st.floats(1e8, 1e12), st.floats(0, 1e15))
@settings(deadline=None)
def test_counting_inference_never_costs_more(quality, served):
    found = budget.aware(budget.LAWS[0], quality, served)
    assert found.saves >= -1e-6
    assert found.size <= quality * 1.01
    wanted = budget.loss(budget.LAWS[0], quality, budget.optimal_tokens(budget.LAWS[0], quality))
    assert budget.loss(budget.LAWS[0], found.size, found.tokens) == pytest.approx(wanted)


@given(st.floats(0.01, 50), st.integers(1, 64), st.integers(0, 5))
@settings(deadline=None, max_examples=30)
def test_quantiles_are_in_order(rate, slots, seed):
    found = load.simulate(rate, 500, 50, step=lambda batch: 0.005 + 1e-4 * batch, read=1e-5, slots=slots, seed=seed,
                          requests=150)  # fmt: skip
    assert 0 <= found.first_p50 <= found.first_p95
    assert found.whole_p50 <= found.whole_p95
    assert 0 <= found.busy <= 1
    assert found.batch <= slots + 1e-9


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.integers(1, 50))
def test_more_servers_wait_less(rate, service, servers):
    share, wait = load.erlang_c(rate, service, servers)
    fewer, less = load.erlang_c(rate, service, servers + 1)
    assert 0 <= share <= 1
    assert fewer <= share
    assert less <= wait


@given(st.floats(1, 1e9), st.floats(1, 1.5))
def test_the_staircase_only_climbs(requests, more):
    use = cost.Use(requests=requests, prompt=1, answer=1)
    assert cost.servers(use, 1.0, cost.House()) <= cost.servers(use.times(more), 1.0, cost.House())
