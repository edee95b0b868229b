"""Scans page by page: where the next page begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from statemachine.command import KEY_BYTES_MAX, SCAN_ROWS_MAX

if TYPE_CHECKING:
    from replica.core.messages import Query, Value


@attrs.define(eq=False)
class Scan:
    """A scan while its pages come.

    Attributes:
        start: where the next page begins.
        end: first key not wanted; None for no end.
        limit: rows wanted in all.
        rows: ``[(key, value)]`` so far.
        finished: whether no page is missing.
    """

    start: bytes
    end: bytes | None
    limit: int
    rows: list[tuple[bytes, bytes]] = attrs.Factory(list)
    finished: bool = False

    @property
    def query(self) -> Query:
        """The next page."""
        return [self.start, self.end, min(self.limit - len(self.rows), SCAN_ROWS_MAX)]

    def covers(self, key: bytes) -> bool:
        """Whether the key is in what is left of the range."""
        return self.start <= key and (self.end is None or key < self.end)

    def take(self, page: Value) -> None:
        """Take the answer to ``query``: ``[rows, more]`` with rows ``[key, value, version]``, and ``more`` false, true, or the next key."""
        assert isinstance(page, list)
        found, more = page
        assert isinstance(found, list)
        self.rows += [(key, value) for key, value, _version in found]
        following = None
        if more and len(self.rows) < self.limit:
            following = first_from(more if isinstance(more, bytes) else found[-1][0] + b"\0")
        if following is None or (self.end is not None and following >= self.end):
            self.finished = True
        else:
            self.start = following


def first_from(start: bytes) -> bytes | None:
    """Return the least possible key that is not below ``start``, which may be one byte longer than a key; None if there is none."""
    if len(start) <= KEY_BYTES_MAX:
        return start
    head = start[:KEY_BYTES_MAX].rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else None
