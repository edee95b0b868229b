"""Segment files: their names, how one comes to be, and how the next one is made ahead.

A segment has its final name only when all its zeros and its header are durable: it is written under another name, synced, renamed, and the
folder is synced. So a segment whose header is wrong, or whose size is not the one in its header, was not left so by a crash.

That takes as long as writing all of its bytes, longer than a turn may. So the next segment is made in a thread while the one before it fills
(``Preparation``). Whoever needs it first waits for it or, if no thread has begun, makes it.
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs

from replica.storage.disk import PARTIAL
from replica.storage.errors import DiskFailed, disk_failed
from replica.storage.records import SALT_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, encode_segment_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.storage.disk import Disk, File

SEGMENT_BYTES: Final = 16 * 1024 * 1024
"""Default size of a segment: little enough to be filled with zeros in some 20 ms, much enough to be rare."""

SEGMENT_PREFIX: Final = "log-"
_NAME = re.compile(r"log-(\d{16})\.segment")


def segment_name(number: int) -> str:
    """Name the file of a segment."""
    return f"{SEGMENT_PREFIX}{number:016d}.segment"


def segment_numbers(disk: Disk) -> list[int]:
    """List the segments in the folder, in order."""
    return sorted(int(found[1]) for name in disk.names() if (found := _NAME.fullmatch(name)))


@attrs.define(eq=False)
class Segment:
    """A segment and how far it is filled.

    Attributes:
        header: what it says of itself.
        end_bytes: where the next batch goes.
        first: position of the first record in it; 0 while there is none.
        file: open for writing; None once it is full and durable.
    """

    header: SegmentHeader
    end_bytes: int = SEGMENT_HEADER_BYTES
    first: int = 0
    file: File | None = None

    @property
    def number(self) -> int:
        """Its running number."""
        return self.header.number

    @property
    def name(self) -> str:
        """Its file's name."""
        return segment_name(self.header.number)

    @property
    def room_bytes(self) -> int:
        """What fits behind its end."""
        return self.header.size_bytes - self.end_bytes

    @property
    def empty(self) -> bool:
        """Whether nothing was written to it."""
        return self.end_bytes == SEGMENT_HEADER_BYTES

    def close(self) -> None:
        """Give its descriptor back, if it has one."""
        if self.file is not None:
            self.file.close()
            self.file = None


def draw_header(number: int, size_bytes: int, entropy: Callable[[int], bytes]) -> SegmentHeader:
    """Make up the header of a new segment; ``entropy`` gives so many random bytes."""
    salt = entropy(SALT_BYTES)
    while not any(salt):  # zeros would look like the part that is not written yet
        salt = entropy(SALT_BYTES)
    return SegmentHeader(number, salt, size_bytes)


def create_segment(disk: Disk, header: SegmentHeader) -> Segment:
    """Make an empty segment, durably, in the place of an empty one of its number.

    Raises:
        OSError: the disk's. Nothing of its final name was made, or what there was is still there.
    """
    return _name(disk, header, _fill(disk, header))


def _fill(disk: Disk, header: SegmentHeader) -> File:
    """Make the file under another name; whatever goes wrong, no room stays taken by it if the disk allows."""
    name = segment_name(header.number) + PARTIAL
    try:
        file = disk.create(name, header.size_bytes)
        try:
            file.write(0, [encode_segment_header(header)])
            file.sync()
        except OSError:
            file.close()
            raise
    except OSError:
        with suppress(OSError):
            disk.remove(name)
        raise
    return file


def _name(disk: Disk, header: SegmentHeader, file: File) -> Segment:
    name = segment_name(header.number)
    try:
        disk.rename(name + PARTIAL, name)
        disk.sync_folder()
    except OSError:
        file.close()
        raise
    return Segment(header, file=file)


class Preparation:
    """The making of the next segment ahead of its need.

    Args:
        disk: where it is made.
        header: its header.
        segment: the segment itself, if an earlier process made it.
        smaller: what was prepared before, and has too little room: handed over all the same if there is no room for this one.

    Attributes:
        done: ``run`` has come to its end.
        made: what it hands over; None before it is done, and if it could not be made.
        failure: why it could not be made; None if it could, or nobody tried.
    """

    __slots__ = ("_disk", "_header", "_lock", "_smaller", "done", "failure", "made")

    def __init__(self, disk: Disk, header: SegmentHeader, segment: Segment | None = None, smaller: Preparation | None = None) -> None:
        self._disk = disk
        self._header = header
        self._lock = threading.Lock()
        self.made = segment
        self._smaller = smaller
        self.failure: DiskFailed | None = None
        self.done = segment is not None

    @property
    def size_bytes(self) -> int:
        """Size of the segment that it hands over, or is to make."""
        return self._header.size_bytes if self.made is None else self.made.header.size_bytes

    def run(self) -> None:
        """Make the segment, in any thread. Called again it waits for the first call's end; it raises nothing."""
        with self._lock:
            if self.done:
                return
            smaller, self._smaller = self._smaller, None
            if smaller is not None:
                smaller.run()  # a thread may be making it, under the same name
            try:
                file = _fill(self._disk, self._header)
            except OSError as error:
                self._failed(error)
                self.made = smaller.made if smaller is not None else None  # it still has its name
            else:
                if smaller is not None:
                    smaller.abandon()
                try:
                    self.made = _name(self._disk, self._header, file)
                except OSError as error:
                    self._failed(error)
            self.done = True

    def _failed(self, error: OSError) -> None:
        self.failure = disk_failed(f"{self._disk.path}/{segment_name(self._header.number)}", error)

    def take(self) -> Segment:
        """Hand the segment over, made now if no thread has begun.

        Raises:
            DiskFailed: it could not be made.
        """
        self.run()
        if self.made is None:
            assert self.failure is not None
            raise DiskFailed(self.failure.file, self.failure.why) from self.failure.__cause__
        return self.made

    def abandon(self) -> None:
        """Wait for a thread that has begun, and close what it made; the file is there for the next start. Who has not begun will not."""
        with self._lock:
            self.done = True
            if self._smaller is not None:
                self._smaller.abandon()
            if self.made is not None:
                self.made.close()
