"""Claims of requests with an Idempotency-Key, by clocks that are wrong."""

from trimtab.server import claims
from trimtab.server.idempotency import LEASE

NOW = 1_772_000_000.0


async def test_a_claim_of_a_clock_that_was_ahead_blocks_nobody_once_it_is_right(store):
    async def take(owner, now):
        return await store.transact(lambda connection: claims.take(connection, b"k", owner, now, now + LEASE))

    assert await take("killed", NOW + 86400)
    assert await claims.free(store, b"k", NOW)
    assert await take("next", NOW)
    assert not await claims.free(store, b"k", NOW)
    assert not await take("another", NOW + LEASE - 1)
    assert await take("another", NOW + LEASE + 1)


async def test_the_control_clocks_that_differ_by_seconds_share_a_claim(store):
    async def take(owner, now):
        return await store.transact(lambda connection: claims.take(connection, b"k", owner, now, now + LEASE))

    assert await take("ahead", NOW + 5)
    assert not await claims.free(store, b"k", NOW)
    assert not await take("behind", NOW)
