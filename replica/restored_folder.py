"""Makes the data folder of a replica that begins with a snapshot: one of a new cluster with the state of another.

To its replica the folder is its own, of a life before: a snapshot, and a log that says no more than the view and the commit.  The view has to be
there, at least that of the snapshot's last entry: entries of the new cluster's views come behind that one, and elections compare the views of last
entries.  All replicas of the new cluster begin with the same snapshot; who leads is decided by an election, as after every restart of all.

Sessions are left out: they belong to clients of the other cluster, who shall not find their numbers here.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from replica.core.journal import Durable, Voted
from replica.journal_codec import encode_metadata, encode_record, snapshot_chunks
from replica.persistence import DURABILITY, load
from replica.storage.folder import DataFolder
from replica.storage.snapshots import SnapshotWriter
from statemachine.sessions import EXPIRED_MAX, Sessions

if TYPE_CHECKING:
    from pathlib import Path

    from replica.core.journal import Applied


def make_restored_folder(path: Path, *, cluster_id: str, replica_id: int, applied: Applied) -> None:
    """Make a replica's data folder, durably.

    Args:
        path: Missing or empty.
        cluster_id: Of the new cluster, which must be another one than the snapshot's.
        replica_id: Whose folder it is.
        applied: The state; its sessions are not told.

    Raises:
        StorageError: The folder is not empty or in use, or the disk refused.
    """
    folder = DataFolder.open(path, cluster_id=cluster_id, replica_id=replica_id, facts={DURABILITY: "disk"})
    try:
        assert folder.created, f"{path} is in use already"
        sessions = Sessions().snapshot()
        metadata = encode_metadata(applied.index, applied.view, applied.position, len(sessions))
        writer = SnapshotWriter(folder.disk, applied.index, metadata)
        for chunk in snapshot_chunks(applied.store.snapshot(), sessions):
            writer.write(chunk)
        writer.commit()
        with closing(load(folder, EXPIRED_MAX)[0]) as log:
            for record in Durable(applied, Voted(applied.view, -1), committed=applied.index).records():
                log.append(*encode_record(record))
            log.write()
            log.sync()
    finally:
        folder.close()
