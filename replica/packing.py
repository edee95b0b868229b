"""Cuts what a turn has for one link into frames that the other side takes.

Nearly always that is one frame, and finding it out must cost nothing per command: a row of a column takes at least one byte, so a frame of few
bytes has few rows.  Only a frame beyond that is looked at closely, and only a section beyond a frame is cut: its runs are columns, and a run may
be cut anywhere.

Sections that several links get are one object, are encoded once and cut at the same places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from replica.core import messages as m
from replica.wire import encode_section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.core.messages import Message

    Runs = m.Record | m.StrongRead | m.ReadIndex | m.CausalRead
    M = TypeVar("M", bound=m.OpenSession | m.CloseSession | m.KeepAlive | m.Home | m.Anchor)


@attrs.frozen
class FrameRoom:
    """What a frame may hold, well below what the other side takes.

    Attributes:
        bytes_max: of the sections; one command must fit.
        rows_max: commands, reads, sessions: rows of columns over all sections.
        sections_max: sections.
    """

    bytes_max: int = 4 << 20
    rows_max: int = 1 << 14
    sections_max: int = 1 << 9


_RUN_COLUMNS = ("previous", "incomplete", "dependencies", "floors")
_FLAT_COLUMNS = ("kinds", "keys", "values", "queries")

Piece = tuple[bytes, int]
"""(encoded section, its rows)."""


class Packer:
    """Encodes and packs the sections of one turn.

    Args:
        room: of the frames.
    """

    def __init__(self, room: FrameRoom) -> None:
        self._room = room
        self._encoded: dict[int, bytes] = {}  # {id of a section: encoded}; the caller keeps the sections alive
        self._cut: dict[int, list[Piece]] = {}  # {id of a section: what it was cut to}

    def frames(self, sections: Sequence[Message]) -> list[list[bytes]]:
        """Return the encoded sections of each frame for one link, in order.

        Args:
            sections: of one link; they must live as long as the packer.
        """
        encoded, parts = self._encoded, []
        for section in sections:
            part = encoded.get(id(section))
            if part is None:
                part = encoded[id(section)] = encode_section(section)
            parts.append(part)
        room = self._room
        if len(parts) <= room.sections_max and sum(map(len, parts)) <= min(room.rows_max, room.bytes_max):
            return [parts]
        return self._fill(sections)

    def _fill(self, sections: Sequence[Message]) -> list[list[bytes]]:
        room, frames, frame = self._room, [], list[bytes]()
        size = rows = 0
        for section in sections:
            for part, part_rows in self._pieces(section):
                if frame and (size + len(part) > room.bytes_max or rows + part_rows > room.rows_max or len(frame) >= room.sections_max):
                    frames.append(frame)
                    frame, size, rows = [], 0, 0
                frame.append(part)
                size += len(part)
                rows += part_rows
        frames.append(frame)
        return frames

    def _pieces(self, section: Message) -> list[Piece]:
        known = self._cut.get(id(section))
        if known is None:
            known = self._cut[id(section)] = self._halve(section, self._encoded[id(section)])
        return known

    def _halve(self, section: Message, part: bytes) -> list[Piece]:
        """Cut a section until its pieces fit; one row always does."""
        rows = count_rows(section)
        if rows <= 1 or (len(part) <= self._room.bytes_max and rows <= self._room.rows_max):
            return [(part, rows)]
        return [piece for half in cut(section, rows // 2) for piece in self._halve(half, encode_section(half))]


def count_rows(section: Message) -> int:
    """Return how much of a frame's ``commands_per_frame_max`` a client's section uses."""
    match section:
        case m.Record() | m.StrongRead() | m.ReadIndex() | m.CausalRead():
            return sum(section.counts)
        case m.OpenSession():
            return len(section.tokens)
        case m.CloseSession() | m.KeepAlive() | m.Home() | m.Anchor():
            return len(section.sessions)
        case _:
            return 0


def cut(section: Message, at: int) -> tuple[Message, Message]:
    """Cut a client's section in two that say the same one after the other.

    Args:
        section: of more than one row.
        at: rows of the first part.
    """
    match section:
        case m.Record() | m.StrongRead() | m.ReadIndex() | m.CausalRead():
            return _cut_runs(section, at)
        case m.OpenSession() | m.CloseSession() | m.KeepAlive() | m.Home() | m.Anchor():
            return _cut_rows(section, slice(None, at)), _cut_rows(section, slice(at, None))
        case _:
            raise AssertionError(f"{type(section).__name__} has no rows to cut")


def _cut_rows(section: M, rows: slice) -> M:
    columns = {field.name: getattr(section, field.name) for field in attrs.fields(type(section))}
    changed: dict[str, Any] = {name: column[rows] for name, column in columns.items() if isinstance(column, list)}
    return attrs.evolve(section, **changed)


def _cut_runs(section: Runs, at: int) -> tuple[Runs, Runs]:
    """Cut inside a run or between two: the run that holds row ``at`` is in both parts, if it has rows in both."""
    run = start = 0
    while start + section.counts[run] <= at:
        start += section.counts[run]
        run += 1
    inside = at - start
    upto = run + (inside > 0)  # runs of the first part
    firsts, counts = section.firsts[run:], section.counts[run:]
    firsts[0] += inside
    counts[0] -= inside
    left: dict[str, Any] = {"sessions": section.sessions[:upto], "firsts": section.firsts[:upto], "counts": section.counts[:upto]}
    right: dict[str, Any] = {"sessions": section.sessions[run:], "firsts": firsts, "counts": counts}
    if inside:
        left["counts"][-1] = inside
    for name in _RUN_COLUMNS:
        column = getattr(section, name, None)
        if column is not None:
            left[name], right[name] = column[:upto], column[run:]
    if inside and "previous" in right:
        right["previous"][0] = firsts[0] - 1
    for name in _FLAT_COLUMNS:
        column = getattr(section, name, None)
        if column is not None:
            left[name], right[name] = column[:at], column[at:]
    return attrs.evolve(section, **left), attrs.evolve(section, **right)
