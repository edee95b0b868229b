"""No half frame: wherever a link is cancelled, the other end gets whole frames in their order, then the end."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import trio

from tests.runtime.checkpoints import AtCheckpoint
from tests.transport.link_pairs import KINDS, open_pair

if TYPE_CHECKING:
    from tests.transport.link_pairs import Pair

FRAMES = [random.Random(place).randbytes(size) for place, size in enumerate([200_000, 10, 70_000, 1, 150_000, 30_000] * 3)]


def task_of(pair: Pair, owner: object) -> trio.lowlevel.Task:
    """Find the task that runs a method of an object."""
    running = {task: task.coro.cr_frame for task in pair.nursery.child_tasks}
    return next(task for task, frame in running.items() if frame is not None and frame.f_locals.get("self") is owner)


@pytest.mark.parametrize("checkpoint", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("whose", ["link", "hub"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_link_cancelled_at_any_checkpoint_leaves_whole_frames_and_the_end(kind: str, whose: str, checkpoint: int) -> None:
    """The sockets' buffers are small: half a frame is out at most of the checkpoints of who sends."""
    async with open_pair(kind, small=True) as pair:
        left, right = pair.left, pair.right
        await trio.testing.wait_all_tasks_blocked()
        instrument = AtCheckpoint(task_of(pair, left if whose == "link" else left.hub), checkpoint, left.scope)
        trio.lowlevel.add_instrument(instrument)
        try:
            for frame in FRAMES:
                left.link.send([frame])
            left.link.flush()
            await right.until(lambda: len(right.frames) == len(FRAMES) or bool(right.closed))
        finally:
            trio.lowlevel.remove_instrument(instrument)
        left.link.abort("the end of the test")
        await right.until_closed()
        assert right.frames == FRAMES[: len(right.frames)]
        assert len(left.closed) == len(right.closed) == 1


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
