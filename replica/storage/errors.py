"""Errors of the storage: a broken world, mostly, and always one line that names the file and says what to do.

None of them may be survived by going on: what a replica promised others stands in these files. So every one ends the process that meets it,
and an operator reads its text.  Misuse by our own code is an assertion, never one of these.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


REPLACE = "let a new replica take this one's place: triskele members replace ID NEWID ADDRESS"
"""What to do about a folder that is lost for good. An empty one under the same id would be refused: its replica could vote twice."""


class StorageError(Exception):
    """The data folder cannot be used. The message is one line: the file, what is wrong with it, what to do."""

    exit_status = 2


class Corrupt(StorageError):
    """A file holds what no crash leaves behind: the disk, or somebody's hand, altered it.

    Attributes:
        file: its path.
        offset: of the first thing in it that is wrong, in bytes.
        why: what is wrong there.
    """

    advice = f"put back what the replica left there when it ended (an older copy lacks what it promised since), or {REPLACE}"

    def __init__(self, file: str, offset: int, why: str) -> None:
        self.file = file
        self.offset = offset
        self.why = why
        super().__init__(f"{file}: byte {offset}: {why}; {self.advice}")


class CorruptLog(Corrupt):
    """A segment of the log was altered, cut or removed; records that were durable are gone."""


class CorruptSnapshot(Corrupt):
    """A snapshot file was cut or altered; what was read from it before may be wrong too."""

    advice = f"remove the file if the log reaches back far enough, else {REPLACE}"


class CorruptFacts(Corrupt):
    """IDENTITY or FACTS cannot be read; the replica no longer knows who it is or what it promised."""


class ForeignFolder(StorageError):
    """The folder belongs to somebody else: another cluster, replica, format version or program. Nothing in it was changed.

    Attributes:
        file: what told so.
        found: what stands there.
        wanted: what should.
    """

    def __init__(self, file: str, found: str, wanted: str, advice: str) -> None:
        self.file = file
        self.found = found
        self.wanted = wanted
        super().__init__(f"{file}: found {found}, wanted {wanted}; {advice}")


class StateDiverged(StorageError):
    """The folder's replica found out that its state was not the cluster's; what stands here may be as wrong.

    Attributes:
        folder: its path.
        why: what it found.
    """

    def __init__(self, folder: str, why: str) -> None:
        self.folder = folder
        self.why = why
        super().__init__(f"{folder}: this replica diverged: {why}; remove it from the cluster, and add one under a new id with an empty folder")


class StateForgotten(StorageError):
    """Another replica knows this one with another folder: what it promised stood there, and without it it must not vote again.

    Attributes:
        folder: its path; empty for a replica without one.
        told: who says so, and in which words.
    """

    def __init__(self, folder: str, replica_id: int, told: str) -> None:
        self.folder = folder
        self.told = told
        replace = REPLACE.replace(" ID ", f" {replica_id} ")
        put_back = "put that folder back as it was when the replica ended, or " if folder else ""
        super().__init__(f"{folder or 'no data folder'}: not what replica {replica_id} had before: {told}; {put_back}{replace}")


class FolderLocked(StorageError):
    """Another process has the folder open.

    Attributes:
        folder: its path.
        pid: of the process that wrote it into the lock file; 0 if it cannot be read.
    """

    def __init__(self, folder: str, pid: int) -> None:
        self.folder = folder
        self.pid = pid
        super().__init__(f"{folder}: locked by process {pid or 'unknown'}; stop it first")


class DiskFailed(StorageError):
    """The disk refused: an I/O error, no space, a failed sync. Fatal for the process.

    After a failed sync nobody knows what is durable, and a second sync of the same descriptor would report success for pages that the kernel
    has given up (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).  So nothing is tried twice: a new
    process reads what the device really holds.

    Attributes:
        file: its path.
        why: the system's words.
    """

    exit_status = 1

    def __init__(self, file: str, why: str) -> None:
        self.file = file
        self.why = why
        super().__init__(f"{file}: {why}; make room or replace the disk, then start the replica again")


class DiskFull(DiskFailed):
    """There is no room for a file that was being made. Who can do without the file may go on; to everybody else it is any ``DiskFailed``."""


def disk_failed(file: str, error: OSError) -> DiskFailed:
    """Tell what became of a file that was being made, and is not there now."""
    failure = (DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else DiskFailed)(file, words(error))
    failure.__cause__ = error
    return failure


@contextmanager
def disk_errors(file: str) -> Iterator[None]:
    """Turn an ``OSError`` of the block into a ``DiskFailed`` of this file."""
    try:
        yield
    except OSError as error:
        raise DiskFailed(file, words(error)) from error


def words(error: OSError) -> str:
    """The system's words for an error, without the path that it may carry."""
    return error.strerror or type(error).__name__
