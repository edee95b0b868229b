"""Many connections to a cluster of real processes: the idle stay and cost little, the busy are served, and all is given back."""

from __future__ import annotations

import pytest

from tests.loopback.connections import BUSY, IDLE, WRITES, TooFewDescriptors, hold

IDLE_BYTES_MAX = 32 << 10
"""Of resident memory for each idle link."""


async def test_a_thousand_idle_links_stay_beside_a_hundred_busy_clients() -> None:
    try:
        held = await hold()
    except TooFewDescriptors as error:
        pytest.fail(str(error))
    before, during, after = held.descriptors
    assert (held.written, held.answering, held.closed) == (BUSY * WRITES, IDLE, {})
    assert held.idle_bytes < IDLE_BYTES_MAX
    assert during > IDLE + BUSY
    assert after <= before
