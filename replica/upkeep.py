"""Looks after the log on disk while its replica serves: seals it when it rests, replaces it by a snapshot when it has grown.

What a batch says of the syncs before it proves the last batch of all to nobody: were it damaged, it would pass for a write that a crash cut short,
and an acknowledged command would be taken back in silence.  A replica that stops in order seals its log; one that is killed has done so if its log
rested for a moment.  A seal is 44 bytes, written and not synced, and none follows another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from transport.fault_points import reach

if TYPE_CHECKING:
    from replica.persistence import Persistence

LOOK_SECONDS = 0.2
"""How often a replica looks at its log."""


async def look_after_log(persistence: Persistence, bytes_max: int) -> None:
    """Look at the log now and then, until cancelled.

    Args:
        persistence: has a log.
        bytes_max: a log that has grown by more since the last snapshot is replaced by one.

    Raises:
        DiskFailed: the disk refused.
    """
    log = persistence.log
    assert log is not None
    while True:
        await trio.sleep(LOOK_SECONDS)
        reach("snapshot.look")
        if log.appended == log.synced:
            log.seal()
        if persistence.log_bytes > bytes_max:
            await persistence.shorten()
