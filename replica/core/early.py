"""What clients say for sessions whose opening is not applied here yet: it is kept until that is, within bounds, and taken then.

A client hears of its opening from the leader, and its first commands may be here before the entry that opens the session. A replica that catches up
by a snapshot may be far behind those: what it keeps is bounded in records, and in commands and bytes as what its witness holds is, and what is sent
again is kept once. What finds no room is answered GAP, and comes again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.witness import value_bytes

if TYPE_CHECKING:
    from replica.core.effects import Source
    from replica.core.messages import Record

EARLY_RECORDS_MAX = 1024
"""Records of one session each."""


@attrs.define(eq=False)
class EarlyRecords:
    """The records of sessions that are not open here yet, with the links they came on."""

    commands_max: int
    bytes_max: int
    """Of keys and values."""
    records: dict[int, dict[tuple[int, int], tuple[Source, Record]]] = attrs.Factory(dict)
    # {session: {(first command, count): (link, record)}}
    count: int = 0
    commands: int = 0
    bytes: int = 0

    def add(self, source: Source, record: Record) -> bool:
        """Keep a record of one session; returns whether there is room for it."""
        session, place = record.sessions[0], (record.firsts[0], record.counts[0])
        kept = self.records.get(session, {})
        if place in kept:  # sent again, perhaps on another link
            kept[place] = source, kept[place][1]
            return True
        commands, size = len(record.keys), _size(record)
        if self.count == EARLY_RECORDS_MAX or self.commands + commands > self.commands_max or self.bytes + size > self.bytes_max:
            return False
        self.records.setdefault(session, kept)[place] = source, record
        self._count(record, 1)
        return True

    def take(self, applied_position: int) -> dict[int, list[tuple[Source, Record]]]:
        """Return the records of sessions that are open by now, in the order in which they came; they are kept no longer."""
        opened = [session for session in self.records if session <= applied_position]
        taken = {session: list(self.records.pop(session).values()) for session in opened}
        for records in taken.values():
            for _, record in records:
                self._count(record, -1)
        return taken

    def forget_link(self, source: Source) -> None:
        """A client's link is gone: what came on it too."""
        for session, kept in list(self.records.items()):
            for place in [place for place, (link, _) in kept.items() if link == source]:
                self._count(kept.pop(place)[1], -1)
            if not kept:
                del self.records[session]

    def _count(self, record: Record, sign: int) -> None:
        self.count += sign
        self.commands += sign * len(record.keys)
        self.bytes += sign * _size(record)


def _size(record: Record) -> int:
    return sum(map(len, record.keys)) + value_bytes(record.values)
