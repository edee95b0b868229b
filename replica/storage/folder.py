"""A replica's data folder: whose it is, who has it open, and the few facts that must outlive the process.

::

    LOCK        flock while a process has the folder open; the pid of the last one
    IDENTITY    format version, cluster, replica, the folder's own id, incarnation
    FACTS       names and values that the replica must not forget (what it voted for, which folders its peers had)
    log-*, snapshot-*                see ``log`` and ``snapshots``

IDENTITY and FACTS are JSON behind a line with its CRC-32, replaced whole: written under another name, synced, renamed, the folder synced. A
person can read them; nobody can alter them unnoticed. FACTS is made before IDENTITY, so that a folder with an identity and no facts is
damaged, and not new: a replica that forgot its vote could vote twice. What it was made for stands in that first FACTS: wherever a crash cuts
its making short, the folder is new or whole.

The folder's id is random and made with the folder. A replica that comes back with another id has lost its disk, which peers may have to know.
The incarnation is raised by every opening that comes to be used, durably, before anything is said to anybody (``count_opening``); one that is
refused counts for nothing.

A folder of somebody else is refused before anything in it is changed, the lock file included.

Rejected: ``fcntl.lockf`` (closing any descriptor of the file drops the lock), a lock file that is removed at every end (a killed process leaves
it all the same). Where it is removed, with a folder that is taken back, whoever locked it meanwhile finds that it is not the folder's any more.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import attrs

from replica.storage.disk import PARTIAL, OsDisk, read_file, remove_partials, replace_file
from replica.storage.errors import CorruptFacts, DiskFailed, FolderLocked, ForeignFolder, StorageError, disk_errors, words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from replica.storage.disk import Disk

FORMAT_VERSION: Final = 1
LOCK: Final = "LOCK"
IDENTITY: Final = "IDENTITY"
FACTS: Final = "FACTS"
FACTS_BYTES_MAX: Final = 64 * 1024
"""Facts are few and small, for all of them are written each time; more is a bug."""
FOLDER_ID_BYTES: Final = 16
OWN_FOLDER: Final = "give this replica the folder that is its own; an empty one only if it never had any"

_HARMLESS = {LOCK, FACTS, "lost+found"}
"""What may stand in a folder that is no data folder yet: leavings of a creation that a crash cut short, and what a file system puts there."""


@attrs.frozen
class Identity:
    """Whose folder it is.

    Attributes:
        cluster_id: of the cluster.
        replica_id: of the replica.
        folder_id: random, hexadecimal; made with the folder.
        incarnation: how often it was opened.
        format_version: of everything in it.
    """

    cluster_id: str
    replica_id: int
    folder_id: str
    incarnation: int
    format_version: int = FORMAT_VERSION


class DataFolder:
    """An open data folder; made by ``open`` or, on another disk than the system's, ``open_disk``.

    Attributes:
        disk: the folder's files.
        identity: whose it is; the incarnation is this opening's.
        created: it was made by this opening, in a place that was empty or not there.
    """

    def __init__(self, disk: Disk, identity: Identity, facts: dict[str, Any], lock_fd: int, *, created: bool) -> None:
        self.disk = disk
        self.identity = identity
        self.created = created
        self._facts = facts
        self._lock_fd = lock_fd
        self._counted = created
        self._remove_folder: Callable[[], None] = lambda: None  # where this opening made it
        self._taken_back = False
        self._failure: DiskFailed | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        cluster_id: str,
        replica_id: int,
        facts: Mapping[str, Any] | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> DataFolder:
        """Open a replica's folder, or make it; it is locked until it is closed or the process ends.

        Args:
            path: the folder; made if it is not there.
            cluster_id: whose it must be.
            replica_id: whose it must be.
            facts: the first ones of a folder that is made; see ``remember_all``.
            entropy: so many random bytes.

        Raises:
            FolderLocked: another process has it open.
            ForeignFolder: it is somebody else's, or no data folder and not empty. Nothing was changed.
            CorruptFacts: IDENTITY or FACTS was altered.
            DiskFailed: the disk refused.
        """
        folder = Path(path)
        disk = OsDisk(folder)
        with disk_errors(str(folder)):
            made = not folder.is_dir()
            if not made:
                _judge(disk, cluster_id, replica_id)
            else:
                make_folder(folder, 0o700)
        lock_fd = _lock(folder)
        try:
            opened = cls.open_disk(disk, cluster_id=cluster_id, replica_id=replica_id, facts=facts, entropy=entropy, lock_fd=lock_fd)
        except BaseException:
            os.close(lock_fd)
            raise
        opened._remove_folder = folder.rmdir if made else opened._remove_folder  # noqa: SLF001 - its own
        return opened

    @classmethod
    def open_disk(
        cls,
        disk: Disk,
        *,
        cluster_id: str,
        replica_id: int,
        facts: Mapping[str, Any] | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        lock_fd: int = -1,
    ) -> DataFolder:
        """Open a replica's folder on any disk, unlocked; else as ``open``. ``lock_fd`` is closed with the folder."""
        with disk_errors(disk.path):
            before = _judge(disk, cluster_id, replica_id)
            if before is not None:
                identity = attrs.evolve(before, incarnation=before.incarnation + 1)
                return cls(disk, identity, read_checked(disk, FACTS), lock_fd, created=False)
            identity = Identity(cluster_id, replica_id, entropy(FOLDER_ID_BYTES).hex(), 1)
            for name in (IDENTITY, FACTS):
                remove_partials(disk, name)
            replace_file(disk, FACTS, _encode(facts or {}))
            replace_file(disk, IDENTITY, _encode(attrs.asdict(identity)))
        return cls(disk, identity, json.loads(json.dumps(facts or {})), lock_fd, created=True)

    def count_opening(self) -> None:
        """Raise the incarnation on disk to this opening's; before anything is said to anybody. Does nothing a second time.

        Raises:
            DiskFailed: the disk refused.
        """
        if self._counted:
            return
        with disk_errors(f"{self.disk.path}/{IDENTITY}"):
            for name in (IDENTITY, FACTS):
                remove_partials(self.disk, name)
            replace_file(self.disk, IDENTITY, _encode(attrs.asdict(self.identity)))
        self._counted = True

    def recall(self, name: str, default: Any = None) -> Any:
        """Look a fact up; not to be changed in place."""
        return self._facts.get(name, default)

    def remember(self, name: str, value: Any) -> None:
        """Set one fact, durably; see ``remember_all``."""
        self.remember_all({name: value})

    def remember_all(self, facts: Mapping[str, Any]) -> None:
        """Set facts, durably, all of them or none: two syncs. Does nothing if they are known.

        Args:
            facts: values that JSON can carry and gives back as they were (no tuples, text keys only).

        Raises:
            DiskFailed: the disk refused, now or before; whether the facts will be known after a restart is not known.
        """
        if self._failure is not None:
            raise DiskFailed(self._failure.file, self._failure.why)
        changed = {**self._facts, **facts}
        content = _encode(changed)
        if content == _encode(self._facts):
            return
        assert len(content) <= FACTS_BYTES_MAX, f"facts of {len(content)} bytes"
        try:
            replace_file(self.disk, FACTS, content)
        except OSError as error:
            self._failure = DiskFailed(f"{self.disk.path}/{FACTS}", words(error))
            raise self._failure from error
        self._facts = json.loads(json.dumps(changed))

    def take_back(self) -> None:
        """Let ``close`` remove everything that this opening made; only where it made the folder, and its replica has promised nothing to anybody."""
        assert self.created
        self._taken_back = True

    def close(self) -> None:
        """Let others open the folder. May be called twice."""
        if self._taken_back:
            self._taken_back = False
            with suppress(OSError):  # what stays is refused later on
                self._remove()
        fd, self._lock_fd = self._lock_fd, -1
        if fd >= 0:
            os.close(fd)

    def _remove(self) -> None:
        """Remove what is in the folder, the lock last of all, and the folder if it was made with it."""
        last = [IDENTITY, FACTS, LOCK]
        names = self.disk.names()
        for name in [name for name in names if name not in {*last, *_HARMLESS}] + [name for name in last if name in names]:
            self.disk.remove(name)
        self.disk.sync_folder()
        self._remove_folder()


def read_identity(disk: Disk) -> Identity | None:
    """Read whose folder it is; None if there is no IDENTITY.

    Raises:
        ForeignFolder: another format version wrote it.
        CorruptFacts: it was altered.
    """
    if IDENTITY not in disk.names():
        return None
    fields = read_checked(disk, IDENTITY)
    file = f"{disk.path}/{IDENTITY}"
    version = fields.get("format_version")
    if version != FORMAT_VERSION:
        advice = "run the version of this program that wrote it"
        raise ForeignFolder(file, f"format version {version}", f"format version {FORMAT_VERSION}", advice)
    try:
        return Identity(**fields)
    except TypeError:
        raise CorruptFacts(file, 0, "fields are missing or unknown") from None


def _judge(disk: Disk, cluster_id: str, replica_id: int) -> Identity | None:
    """Read whose folder it is, and refuse that of somebody else; None for one that may become ours."""
    identity = read_identity(disk)
    if identity is None:
        strange = [name for name in disk.names() if name not in _HARMLESS and not name.endswith(PARTIAL)]
        if strange:
            raise ForeignFolder(disk.path, f"{strange[0]!r} and no IDENTITY", "a data folder or an empty one", OWN_FOLDER)
        return None
    file, advice = f"{disk.path}/{IDENTITY}", OWN_FOLDER
    if identity.cluster_id != cluster_id:
        raise ForeignFolder(file, f"cluster {identity.cluster_id!r}", f"cluster {cluster_id!r}", advice)
    if identity.replica_id != replica_id:
        raise ForeignFolder(file, f"replica {identity.replica_id}", f"replica {replica_id}", advice)
    return identity


def make_folder(folder: Path, mode: int) -> None:
    """Make a folder and those it is in, durably: a crash must not take back the path to what is durable in it.

    Args:
        folder: may be there already.
        mode: of all that are made.

    Raises:
        OSError: it cannot be made.
    """
    if not folder.parent.is_dir():
        make_folder(folder.parent, mode)
    folder.mkdir(mode, exist_ok=True)
    OsDisk(folder.parent).sync_folder()


def _encode(fields: Mapping[str, Any]) -> bytes:
    content = json.dumps(fields, indent=1, sort_keys=True).encode() + b"\n"
    return b"%08x\n" % crc32(content) + content


def read_checked(disk: Disk, name: str) -> dict[str, Any]:
    """Read IDENTITY or FACTS."""
    file = f"{disk.path}/{name}"
    try:
        data = read_file(disk, name)
    except FileNotFoundError:
        raise CorruptFacts(file, 0, "the file is missing from a folder that was in use") from None
    crc, _, content = data.partition(b"\n")
    if crc != b"%08x" % crc32(content):
        raise CorruptFacts(file, 0, "the content does not match its checksum")
    fields: dict[str, Any] = json.loads(content)
    return fields


def is_locked(folder: Path) -> bool:
    """Whether a process has the folder open. For a moment the lock is shared, which may keep one that starts just then from starting."""
    try:
        fd = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _lock(folder: Path) -> int:
    """Lock a folder; returns the descriptor that holds the lock."""
    file = folder / LOCK
    with disk_errors(str(file)):
        fd = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(fd), file.stat()):  # a folder that was taken back just then, and made again
                raise BlockingIOError  # noqa: TRY301 - as if it was locked a moment longer
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        except BlockingIOError:
            pid = os.pread(fd, 32, 0).strip()
            os.close(fd)
            raise FolderLocked(str(folder), int(pid) if pid.isdigit() else 0) from None
        except (OSError, StorageError):
            os.close(fd)
            raise
    return fd
