"""The row of segments that a log is written to: the one that takes the writes, those before it, and the next one, which is made ahead.

What must not live here: what is durable, what becomes of a log whose disk refused (``log``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from replica.storage.errors import disk_errors
from replica.storage.records import SEGMENT_HEADER_BYTES
from replica.storage.segments import Preparation, create_segment, draw_header, segment_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.storage.disk import Disk
    from replica.storage.segments import Segment


class SegmentRow:
    """See the module.

    Args:
        disk: where the files are.
        segments: those that are there, in order.
        segment_bytes: size of new segments in bytes, unless a larger one is needed.
        entropy: so many random bytes.

    Attributes:
        segments: never empty once ``resume`` was called; the last one takes the writes.
    """

    def __init__(self, disk: Disk, segments: list[Segment], *, segment_bytes: int, entropy: Callable[[int], bytes]) -> None:
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._entropy = entropy
        self._preparation: Preparation | None = None
        self.segments = segments

    def resume(self) -> bool:
        """Find the segment that takes the writes, or make the first, and keep an empty one behind it for later.

        Returns:
            Whether there was one.

        Raises:
            DiskFailed: the disk refused.
        """
        segments = self.segments
        if not segments:
            with disk_errors(f"{self._disk.path}/{segment_name(1)}"):
                segments.append(create_segment(self._disk, draw_header(1, self._segment_bytes, self._entropy)))
            return False
        if len(segments) > 1 and segments[-1].empty:
            spare = segments.pop()
            self._open_file(spare)
            self._preparation = Preparation(self._disk, spare.header, spare)
        self._open_file(segments[-1])
        return True

    def _open_file(self, segment: Segment) -> None:
        with disk_errors(f"{self._disk.path}/{segment.name}"):
            segment.file = self._disk.open(segment.name, writable=True)

    @property
    def last(self) -> Segment:
        """The segment that takes the writes."""
        return self.segments[-1]

    @property
    def prepare_wanted(self) -> bool:
        """Whether the next segment should be made ahead: half of this one is full."""
        return self._preparation is None and self.last.room_bytes < self.last.end_bytes

    def prepare(self, room_bytes: int = 0) -> Preparation:
        """Begin to make the next segment ahead, with so much room behind its header; the same job until it is used or too small."""
        size_bytes = SEGMENT_HEADER_BYTES + room_bytes
        ahead = self._preparation
        if ahead is None or ahead.size_bytes < size_bytes:
            header = draw_header(self.last.number + 1, max(self._segment_bytes, size_bytes), self._entropy)
            ahead = self._preparation = Preparation(self._disk, header, smaller=ahead)
        return ahead

    def forget_failure(self) -> None:
        """Let a segment that could not be made ahead be tried again, because there may be room now."""
        if self._preparation is not None and self._preparation.done and self._preparation.made is None:
            self._preparation = None

    def ready(self, room_bytes: int) -> bool:
        """Whether the next segment is made and has so much room; or this one, if it is empty."""
        if self.last.empty and self.last.room_bytes >= room_bytes:
            return True
        made = self._preparation.made if self._preparation is not None else None
        return made is not None and made.room_bytes >= room_bytes

    def make_room(self, size_bytes_min: int) -> Segment | None:
        """Go on in the next segment: the prepared one, even if it turns out too small, or one made now. An empty one is replaced instead: were it
        left empty, what follows it could not be told from a loss.

        Returns:
            The one that is left behind, if any.

        Raises:
            DiskFailed: it could not be made.
        """
        if self.last.empty:
            self.last.close()
            self.segments[-1] = Preparation(self._disk, draw_header(self.last.number, size_bytes_min, self._entropy)).take()
            return None
        if self._preparation is None:
            header = draw_header(self.last.number + 1, max(self._segment_bytes, size_bytes_min), self._entropy)
            self._preparation = Preparation(self._disk, header)
        self.segments.append(self._preparation.take())
        self._preparation = None
        return self.segments[-2]

    def size_bytes(self, since: int) -> int:
        """Tell how many bytes were written to the segments from number ``since`` on, their headers included."""
        return sum(segment.end_bytes for segment in self.segments if segment.number >= since)

    def abandon(self) -> None:
        """Give up the segment that is made ahead; its file is there for the next start. Waits for a thread that makes it."""
        if self._preparation is not None:
            self._preparation.abandon()
