"""Makes the folder of a new cluster, for ``triskele up --data-dir``, from a snapshot of another.

The folder becomes a cluster's with its ``cluster.toml``, which is written last: what a crash leaves before that, no cluster resumes.  It names no
addresses, for those come from ``triskele up`` each time.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from replica.cluster_file import ClusterFile, ReplicaPlace, write_cluster_file
from replica.config import SettingError
from replica.restored_folder import make_restored_folder
from replica.snapshot_file import read_snapshot
from replica.storage.disk import OsDisk
from replica.storage.errors import StorageError
from triskele.cluster_folder import FILE, open_folder

if TYPE_CHECKING:
    from replica.config import Mode
    from replica.snapshot_file import Content


class RestoreFailed(Exception):
    """A cluster's folder could not be made; what was made was removed again."""

    exit_status = 1


def restore_cluster(file: Path, data_dir: Path, replicas: int, mode: Mode) -> Content:
    """Make a cluster's folder whose replicas all begin with the state in a file.

    Args:
        file: A snapshot.
        data_dir: Missing or empty.
        replicas: 1, 3, 5, 7 or 9.
        mode: Of the new cluster.

    Returns:
        What the file holds; sessions are not restored.

    Raises:
        SnapshotDamaged, SnapshotUnreadable: The file. Nothing was made.
        SettingError: The folder is not empty, or cannot be used.
        RestoreFailed: The disk refused.
    """
    content = read_snapshot(file)
    with open_folder(data_dir) as folder:
        found = sorted(entry.name for entry in folder.path.iterdir())
        if found:
            raise SettingError("--data-dir", data_dir, f"holds {found[0]}: give an empty folder, or one that is not there")
        places = tuple(ReplicaPlace(id=number, data_dir=str(folder.path / f"replica-{number}")) for number in range(replicas))
        cluster = ClusterFile(cluster_id=secrets.token_hex(8), mode=mode, durability="disk", replicas=places)
        try:
            _make(folder.path, cluster, content)
        except (OSError, StorageError) as error:
            for place in places:
                shutil.rmtree(place.data_dir, ignore_errors=True)
            folder.file.unlink(missing_ok=True)
            raise RestoreFailed(str(error) if isinstance(error, StorageError) else f"{data_dir}: {error.strerror}") from None
    return content


def _make(path: Path, cluster: ClusterFile, content: Content) -> None:
    """Make the replicas' folders, then the cluster file, all durable."""
    for place in cluster.replicas:
        make_restored_folder(Path(place.data_dir), cluster_id=cluster.cluster_id, replica_id=place.id, applied=content.applied)
    write_cluster_file(cluster, path / FILE)
    disk = OsDisk(path)
    file = disk.open(FILE)
    try:
        file.sync()
    finally:
        file.close()
    disk.sync_folder()
