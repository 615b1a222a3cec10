"""A request leaves nothing to the garbage collector: what waits for it is memory, and its looks are time."""

import gc

import pytest

from trimtab.errors import UpstreamDownError
from trimtab.flow import run
from trimtab.testing import Breaks, Keeps, Says, ask, desk

OURS = ("Note", "Trail", "Window", "Request", "Decision", "Answer", "Step", "Trace")


@pytest.fixture
def left():
    """What of ours only the collector would free: names of types, asked for after the requests."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield lambda: gc.collect() and [name for one in gc.garbage if (name := type(one).__name__) in OURS]
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.parametrize("live", [False, True])
async def test_an_answered_request_is_no_work_for_the_collector(left, live):
    async def emit(delta):
        pass

    table = desk({"small": Says("yes")}, recorders=(Keeps(),))
    for _ in range(3):
        await run(table, ask("well?"), emit if live else None)
    assert not left()


async def test_nor_is_one_whose_first_model_is_down(left):
    table = desk({"small": Breaks(UpstreamDownError("No route to host.")), "large": Says("yes")})
    for _ in range(3):
        await run(table, ask("well?"))
    assert not left()


async def test_nor_is_one_that_fails(left):
    table = desk({"small": Breaks(UpstreamDownError("No route to host."))})
    for _ in range(3):
        with pytest.raises(UpstreamDownError):
            await run(table, ask("well?"))
    assert not left()
