"""Saves the state of a running cluster into a file, which gets its name when it is whole, checked and on disk."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from replica.config import SettingError
from replica.snapshot_file import SnapshotDamaged, read_snapshot
from replica.storage.disk import OsDisk
from triskele.admin_client import download
from triskele.cluster_status import admin_of, gather_status
from triskele.leadership import ASK_SECONDS, describe, find_leader
from triskele.present_members import present_members

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from replica.cluster_file import ClusterFile
    from replica.snapshot_file import Content

STALL_SECONDS = 10.0
"""A download of which nothing came for so long is given up."""
_DONE = 200


class SaveFailed(Exception):
    """A snapshot could not be had, or not be kept; the message says which and why."""

    exit_status = 1


async def save_snapshot(cluster: ClusterFile, file: Path, source: int | None = None) -> tuple[int, Content]:
    """Save the applied state of a replica.

    Args:
        cluster: Whose state.
        file: Where to; one that is there is replaced, in one step. Nobody but the user can read it.
        source: Which replica's; None for the leader's.

    Returns:
        The replica's id, and what the file holds, read back from it.

    Raises:
        SaveFailed: Nobody leads, the replica refuses, what came is damaged, or the disk refused.
        SettingError: The file cannot be written there, or the cluster has no such replica.
        AdminUnreachable: The replica cannot be asked, or nothing came for 10 seconds.
    """
    with _replacing(file) as (partial, stream):

        def take(piece: bytes) -> None:
            try:
                stream.write(piece)
            except OSError as error:
                raise SaveFailed(f"{file}: {error.strerror}") from None

        replica_id, admin = await _find_source(cluster, source)
        answer = await download(admin, "/snapshot", take, timeout=STALL_SECONDS)
        if answer.status != _DONE:
            raise SaveFailed(f"replica {replica_id}: {' '.join(answer.body.decode(errors='replace').split())} (HTTP {answer.status})")
        stream.flush()
        os.fsync(stream.fileno())
        try:
            content = read_snapshot(partial)
        except SnapshotDamaged as error:
            raise SaveFailed(f"what came from replica {replica_id} is damaged: {error}") from None
    return replica_id, content


async def _find_source(cluster: ClusterFile, source: int | None) -> tuple[int, str]:
    """Return a replica's id and its admin address."""
    cluster = (await present_members(cluster, ASK_SECONDS)).everybody
    rows = await gather_status(cluster, ASK_SECONDS)
    if source is None:
        leader = find_leader(cluster, rows)
        if leader is None:
            raise SaveFailed(f"nobody leads: {describe(rows)}; --from ID takes a replica that does not")
        return leader.id, leader.admin
    for place, row in zip(cluster.replicas, rows, strict=True):
        if row["id"] == source:
            if "error" in row:
                raise SaveFailed(f"replica {source}: {row['error']}")
            return source, admin_of(place)
    raise SettingError("--from", source, "the cluster has replicas " + ", ".join(str(row["id"]) for row in rows))


@contextmanager
def _replacing(file: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Write another file beside this one, which it replaces if the block ends well.

    Raises:
        SettingError: There cannot be such a file.
        SaveFailed: The disk refused.
    """
    if file.is_dir():
        raise SettingError("FILE", file, "is a folder")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".partial", dir=file.parent)
    except OSError as error:
        raise SettingError("FILE", file, error.strerror or str(error)) from None
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield partial, stream
        partial.replace(file)
        OsDisk(file.parent).sync_folder()
    except OSError as error:
        raise SaveFailed(f"{file}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
