"""The folder of a local cluster: ``cluster.toml``, which says who the cluster is, and a data folder for each replica.

::

    cluster.toml     cluster_id, mode, durability, the replicas and where they listen
    replica-0, …     a replica's data folder (``replica.storage.folder``)

A folder that holds a cluster is resumed: what must not change (cluster id, mode, durability, number of replicas) comes from its file, and a flag
that says otherwise is an error, never obeyed and never ignored.  Addresses come from the flags each time and are written anew; ids are what
identifies a replica.  The data folders are always those beside ``cluster.toml``, so that a folder may be moved, and a copy of it is a copy.

The folder is locked (flock on the folder itself, which leaves no file) before anything is written: a second supervisor would put its own
addresses into the file from which the first one's replicas start again.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from replica.cluster_file import ClusterFile, ReplicaPlace, is_plain, read_cluster_file, write_cluster_file
from replica.config import SettingError
from replica.storage.folder import make_folder
from triskele.cluster_ports import REPLICA_COUNTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from replica.config import Settings
    from triskele.cluster_ports import Ports

FILE = "cluster.toml"
REPLICAS_DEFAULT = 3


@attrs.frozen
class ClusterFolder:
    """An open, locked folder.

    Attributes:
        path: Absolute.
        held: The cluster that lives in it, None if none does yet.
    """

    path: Path
    held: ClusterFile | None

    @property
    def file(self) -> Path:
        """Where the cluster file is, or will be."""
        return self.path / FILE

    def agree(self, replicas: int | None, settings: Settings) -> tuple[int, Settings]:
        """Return the number of replicas and the settings: those of the cluster that lives here, or as given for a new one.

        Args:
            replicas: As somebody gave it; None if nobody did.
            settings: As given.

        Raises:
            SettingError: What somebody gave contradicts the cluster that lives here.
        """
        if self.held is None:
            return replicas or REPLICAS_DEFAULT, settings
        count = len(self.held.replicas)
        if replicas not in (None, count):
            raise SettingError("--replicas", replicas, f"the cluster in {self.file} has {count}")
        told = {"mode": self.held.mode, "durability": self.held.durability}
        for name, value in told.items():
            if settings.origin(name) != "default" and getattr(settings, name) != value:
                raise SettingError(settings.written(name), getattr(settings, name), f"{self.file} says {value}")
        return count, settings.changed(str(self.file), **{name: value for name, value in told.items() if value})

    def write(self, replicas: int, settings: Settings, ports: Ports) -> ClusterFile:
        """Write who the cluster is and where its replicas listen, durably, and make their folders.

        Raises:
            SettingError: The folder cannot be written.
        """
        places = []
        try:
            for replica_id in range(replicas):
                data_dir = self.path / f"replica-{replica_id}"
                data_dir.mkdir(exist_ok=True, mode=0o700)
                at = ports.reached(replica_id)
                places.append(
                    ReplicaPlace(
                        id=replica_id,
                        address=at["listen"],
                        websocket=f"ws://{at['websocket']}",
                        admin=f"http://{at['admin']}",
                        data_dir=str(data_dir),
                    )
                )
            cluster_id = self.held.cluster_id if self.held else secrets.token_hex(8)
            file = ClusterFile(cluster_id=cluster_id, mode=settings.mode, durability=settings.durability, replicas=tuple(places))
            write_cluster_file(file, self.file)
            _sync(self.file)
            _sync(self.path)
        except OSError as error:
            raise SettingError("--data-dir", self.path, error.strerror or str(error)) from None
        return file


@contextmanager
def open_folder(data_dir: Path | None) -> Iterator[ClusterFolder]:
    """Open a cluster's folder, made if missing, and keep others out for the length of the block.

    Args:
        data_dir: The folder; None for a temporary one, which is removed at the end.

    Raises:
        SettingError: It cannot be used, it is in use, or what lives in it cannot be resumed.
    """
    if data_dir is None:
        path = Path(tempfile.mkdtemp(prefix="triskele-"))
        try:
            yield ClusterFolder(path, None)
        finally:
            shutil.rmtree(path, ignore_errors=True)
        return
    if not is_plain(str(data_dir.absolute())):
        raise SettingError("--data-dir", data_dir, f"its name is no UTF-8, and {FILE} has to name it")
    try:
        if not data_dir.is_dir():
            make_folder(data_dir, 0o777)
        path = data_dir.resolve()
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise SettingError("--data-dir", data_dir, error.strerror or str(error)) from None
    try:
        _lock(descriptor, data_dir)
        yield ClusterFolder(path, _held(path / FILE, data_dir))
    finally:
        os.close(descriptor)


def _lock(descriptor: int, data_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingError("--data-dir", data_dir, "another `triskele up` runs here; stop it, or give another folder") from None
    except OSError as error:
        raise SettingError("--data-dir", data_dir, f"cannot be locked: {error.strerror}") from None


def _held(file: Path, data_dir: Path) -> ClusterFile | None:
    """Read the cluster that lives in a folder.

    Raises:
        SettingError: It cannot be resumed.
    """
    try:
        if not file.exists():
            return None
    except OSError as error:
        raise SettingError("--data-dir", data_dir, error.strerror or str(error)) from None
    held = read_cluster_file(file, "--data-dir")
    if held.durability == "memory":
        raise SettingError("--data-dir", data_dir, "holds an earlier cluster, which kept its data in memory; give an empty folder")
    ids = [place.id for place in held.replicas]
    if not (held.cluster_id and held.mode and held.durability) or ids != list(range(len(ids))) or len(ids) not in REPLICA_COUNTS:
        raise SettingError("--data-dir", data_dir, f"its {FILE} was not written by `triskele up`; run its replicas with `triskele replica`")
    return held


def _sync(path: Path) -> None:
    """Make a file, or a folder's names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
