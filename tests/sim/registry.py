"""What the log says of sessions: whose they are, and which have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from statemachine.command import CLOSE, EXPIRE, OPEN
from tests.sim.history import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from replica.core.messages import Entry
    from tests.sim.history import History, Operation, Track
    from tests.sim.workload import Program


@attrs.define(eq=False)
class Registry:
    """The sessions of a run, as the committed log knows them."""

    history: History
    tracks: dict[int, Track] = attrs.Factory(dict)
    # {session id: its track}
    ended: dict[int, int] = attrs.Factory(dict)
    # {session id: CLOSE or EXPIRE}
    ended_at: dict[int, int] = attrs.Factory(dict)
    # {session id: the position of its end}

    def on_entry(self, entry: Entry, places: Container[tuple[int, int]]) -> None:
        """I-END: a session is closed behind all its commands, and nothing of it enters the log behind its end.

        Args:
            entry: that was committed.
            places: ``(track, number)`` of the commands of the entries before it.
        """
        for position, command in enumerate(entry.system, entry.base + 1):
            if command[0] == OPEN:
                self._open(position, command[1])
            elif command[0] in {CLOSE, EXPIRE}:
                sid = command[1]
                assert isinstance(sid, int)
                assert isinstance(command[0], int)
                if command[0] == CLOSE and sid not in self.ended and sid in self.tracks:
                    self._closed(self.tracks[sid], places)
                self.ended.setdefault(sid, command[0])
                self.ended_at.setdefault(sid, position)
        for sid in entry.sessions:
            if sid in self.ended:
                raise Violation(f"I-END: the log has commands of session {self.tracks[sid].index} behind its end")

    def _open(self, position: int, token: object) -> None:
        track = next(track for track in self.history.tracks if track.token == token)
        if all(sid in self.ended for sid, known in self.tracks.items() if known is track):
            self.tracks[position] = track

    @staticmethod
    def _closed(track: Track, places: Container[tuple[int, int]]) -> None:
        missing = next((operation for operation in track.logged if (track.index, operation.number) not in places), None)
        if missing is not None:
            raise Violation(f"I-END: session {track.index} is closed before a command of it: {missing}")

    def on_opened(self, track: Track, sid: int) -> None:
        """A client was told that its session is open."""
        if self.tracks.get(sid) is not track:
            raise Violation(f"session {track.index} was opened as {sid}, which the log does not know")
        track.sid = sid

    def on_lost(self, track: Track, why: str) -> None:
        """A client was told that its session has ended."""
        if not self.has_ended(track):
            raise Violation(f"I-END: session {track.index} is told to have ended ({why}), and the log knows nothing of that")

    def has_ended(self, track: Track) -> bool:
        """Whether the log says that a session has ended."""
        return track.sid in self.ended

    def lost(self, operation: Operation) -> bool:
        """Whether an operation's session expired, so that what was acknowledged by its home alone may be gone."""
        track = self.history.tracks[operation.session]
        return self.ended.get(track.sid) == EXPIRE

    def orphan(self, places: Container[tuple[int, int]], forgotten: Callable[[Operation], bool]) -> Operation | None:
        """Return an acknowledged command of a dead client that nobody has handed to the leader yet.

        Args:
            places: ``(track, number)`` of the commands of the log.
            forgotten: whether all who held a command forgot it when they died; what follows it in its session is lost as well.
        """
        for track in self.history.tracks:
            for operation in track.logged if track.dead and not self.has_ended(track) else ():
                if operation.returned and (track.index, operation.number) not in places:
                    if forgotten(operation):
                        break
                    return operation
        return None

    def unaware(self, programs: Iterable[Program]) -> str:
        """Say which program does not know that its session has ended; nothing if all do."""
        for program in programs:
            session = program.session
            if session is not None and not session.lost and not program.track.left and session.id in self.ended:
                return f"session {program.track.index} has ended, and its client does not know"
        return ""

    def what_is_left(self) -> str:
        """Say which session's client is done with it, or dead, and has not ended in the log."""
        for track in self.history.tracks:
            if track.ended and track.sid and not self.has_ended(track):
                return f"session {track.index} does not end in the log"
        return ""
