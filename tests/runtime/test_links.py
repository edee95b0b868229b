"""No half frame: wherever a link is cancelled, the other end gets whole frames in their order, then the end."""

from __future__ import annotations

import random

import pytest
import trio

from tests.runtime.checkpoints import AtCheckpoint
from tests.transport.link_pairs import KINDS, open_pair

FRAMES = [random.Random(place).randbytes(size) for place, size in enumerate([200_000, 10, 70_000, 1, 150_000, 30_000] * 3)]


CHECKPOINTS = {"memory": (1, 2, 3)}
"""How many tasks take a step before all is there, where that is fewer than elsewhere."""
CASES = [(kind, checkpoint) for kind in KINDS for checkpoint in CHECKPOINTS.get(kind, (1, 2, 3, 5, 8, 13))]


@pytest.mark.parametrize(("kind", "checkpoint"), CASES)
async def test_a_link_cancelled_at_any_checkpoint_leaves_whole_frames_and_the_end(kind: str, checkpoint: int) -> None:
    """Anybody's from when they were sent. The sockets' buffers are small: half a frame is out at most of them."""
    async with open_pair(kind, small=True) as pair:
        left, right = pair.left, pair.right
        await trio.testing.wait_all_tasks_blocked()
        pair.fabric.delay(0.001, 0.003)
        for frame in FRAMES:
            left.link.send([frame])
        left.link.flush()
        instrument = AtCheckpoint(None, checkpoint, left.scope)
        trio.lowlevel.add_instrument(instrument)
        try:
            await right.until_closed()
        finally:
            trio.lowlevel.remove_instrument(instrument)
        assert left.scope.cancel_called
        assert right.frames == FRAMES[: len(right.frames)]
        assert (left.closed, len(right.closed)) == (["cancelled"], 1)


async def test_half_a_frame_was_out_and_never_seen() -> None:
    """The test above means something: here fewer frames come than were sent, and bytes of the next had gone."""
    async with open_pair("native", small=True) as pair:
        left, right = pair.left, pair.right
        for frame in FRAMES:
            left.link.send([frame])
        left.link.flush()
        assert 0 < left.link.queued_bytes < sum(map(len, FRAMES)), "the socket took a part"
        left.scope.cancel()
        assert await right.until_closed() != ""
        assert right.frames == FRAMES[: len(right.frames)]
        assert len(right.frames) < len(FRAMES)
