"""The exactly-once table: how far each session's commands were applied, and the results a retry may still ask for.

A session's logged commands are numbered from 1 and enter the log in that order, so "was it applied" is one comparison and the table
needs one number a session, plus the results of those cas commands whose answer may not have reached the client yet. The client says in
every record up to where it has everything (``incomplete``), which lets results go. This is RIFL's table (Lee et al., SOSP'15) without its
per-command completion records, which session order makes needless.

A session's id is the position of the command that opened it: never used twice. A session that *expired* leaves a tombstone, so that a client
which comes back learns that it did; one that was *closed* leaves nothing, as its client asked for that. The table is part of the replicated
state: nothing here may depend on time or on how commands were batched.
"""

from __future__ import annotations

from itertools import chain, islice, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import attrs

from statemachine.moment import InvalidSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

EXPIRED_MAX: Final = 10_000
"""Tombstones of expired sessions kept; beyond it the oldest go, and their clients are told that nothing is known."""
RESULTS_MAX: Final = 1 << 16
"""A session's last so many commands keep their results in any case: more than a client has on its way by default. Older ones go by steps,
whether or not its client ever says that it has it: one that never does must not fill the memory of all replicas."""
RESULTS_STEP: Final = RESULTS_MAX // 8
CHUNK_SESSIONS: Final = 1024
CHUNK_RESULTS: Final = 1 << 16
"""Results in one chunk of a snapshot at most, or those of one session: they must fit a frame to a follower, in bytes and in items."""


@attrs.define
class SessionRecord:
    """One open session.

    ``results`` holds what cas commands returned, ``{number: succeeded}`` in ascending order, for numbers the client may still ask for.
    Invariant: every number in ``results`` is at most ``applied``.
    """

    token: bytes
    lease_seconds: float
    applied: int = 0
    results: dict[int, bool] = attrs.Factory(dict)


_RESULTS = attrgetter("results")


class Sessions:
    """All sessions by id; see the module.

    Attributes:
        table: ``{session: record}``, to be read by anybody and changed through the methods only.
        tokens: ``{token: session}`` of the open sessions.
        expired: ``{session: last applied number}``, oldest expiry first, ``expired_max`` at most.
    """

    __slots__ = ("_moments", "expired", "expired_max", "table", "tokens")

    def __init__(self, expired_max: int = EXPIRED_MAX) -> None:
        """Begin without sessions. ``expired_max`` is part of the replicated state's rules: the same on every replica."""
        self.table: dict[int, SessionRecord] = {}
        self.tokens: dict[bytes, int] = {}
        self.expired: dict[int, int] = {}
        self.expired_max = expired_max
        self._moments: list[_Moment] = []  # that want to know what is about to change

    def __len__(self) -> int:
        """Number of open sessions."""
        return len(self.table)

    def open(self, position: int, token: bytes, lease_seconds: float) -> int:
        """Open the session of ``token`` by the command at ``position``.

        Returns:
            its id: ``position``, or that of the session which the token opened before and which is still open (a client that saw no
            answer opens again; its lease stays as it was).
        """
        session = self.tokens.setdefault(token, position)
        if session == position:
            assert position not in self.table, "a position opens one session"
            self.table[position] = SessionRecord(token, lease_seconds)
        return session

    def close(self, session: int) -> bool:
        """Forget a session whose client has all it wants. Returns False if it was not open (closed or expired before)."""
        record = self.table.get(session)
        if record is None:
            return False
        for moment in self._moments:
            moment.remember(session, record)
        del self.table[session], self.tokens[record.token]
        return True

    def expire(self, session: int) -> bool:
        """End a session whose client fell silent; its tombstone keeps the last applied number. Returns False if it was not open."""
        record = self.table.get(session)
        if record is None:
            return False
        self.close(session)
        self.expired[session] = record.applied
        while len(self.expired) > self.expired_max:
            del self.expired[next(iter(self.expired))]
        return True

    def applied(self, session: int) -> int | None:
        """Tell the last applied number of a session, open or expired; None if nothing is known of it."""
        record = self.table.get(session)
        return self.expired.get(session) if record is None else record.applied

    def record(self, session: int, first: int, count: int, results: Sequence[bool | None] | None, incomplete: int) -> None:
        """Note that a run of a session's commands was applied.

        Args:
            session: an open session.
            first: number of the run's first command, one above the last applied.
            count: commands in the run.
            results: one per command of the run (a bool for a cas, None for others), or None where no command has one.
            incomplete: every command below this number is complete at the client; results below it are forgotten. It may repeat or lag; far behind
                what is applied they are forgotten all the same (``RESULTS_MAX``).
        """
        record = self.table[session]
        if self._moments:
            for moment in self._moments:
                moment.remember(session, record)
        assert first == record.applied + 1, f"session {session}: command {first} after {record.applied}"
        record.applied += count
        if results is not None:
            assert len(results) == count
            for number, result in enumerate(results, first):
                if result is not None:
                    record.results[number] = result
        kept = record.results
        if kept:
            oldest = max(incomplete, (record.applied - RESULTS_MAX) // RESULTS_STEP * RESULTS_STEP)
            if next(iter(kept)) < oldest:
                record.results = {number: result for number, result in kept.items() if number >= oldest}

    def result(self, session: int, number: int) -> bool | None:
        """Tell what an applied cas returned; None for other commands and for what was forgotten or is not applied."""
        record = self.table.get(session)
        return None if record is None else record.results.get(number)

    # ------------------------------------------------------------------------------------------------------------ copies of the state

    def snapshot(self) -> SessionsSnapshot:
        """Tell the table of this moment, in chunks of plain lists, numbers and bytes, each small enough for a frame.

        Shape: first ``[sessions, [[expired session, applied], ...]]``, then ``[[session, token, lease_seconds, applied,
        [[number, succeeded], ...]], ...]`` until that many sessions were told. The table may change while they are taken.
        """
        return SessionsSnapshot(self)

    def chunks(self, ids: list[int], ends: list[int]) -> Iterator[list[object]]:
        """Work the chunks of ``snapshot`` out one by one; the moment is that of the first.

        Args:
            ids: of all sessions, ascending.
            ends: places in them where the chunks end, ascending.
        """
        moment = _Moment(ids[-1] if ids else 0)
        self._moments.append(moment)
        try:
            yield [len(ids), [[session, applied] for session, applied in self.expired.items()]]
            rest = iter(ids)
            for start, end in pairwise([0, *ends]):
                chunk = list(islice(rest, end - start))
                moment.told = chunk[-1]
                yield [moment.past.pop(session, None) or _row(session, self.table[session]) for session in chunk]
        finally:
            self._moments.remove(moment)

    def ends(self, ids: list[int]) -> list[int]:
        """Say where the chunks of a snapshot of these sessions end: places in ``ids``."""
        table = self.table
        if sum(map(len, map(_RESULTS, table.values()))) <= CHUNK_RESULTS:  # nearly always: at C speed
            return [*range(CHUNK_SESSIONS, len(ids), CHUNK_SESSIONS), len(ids)] if ids else []
        ends, begun, results = [], 0, 0
        for place, session in enumerate(ids):
            more = len(table[session].results)
            if place - begun == CHUNK_SESSIONS or (results + more > CHUNK_RESULTS and place > begun):
                ends.append(place)
                begun, results = place, 0
            results += more
        return [*ends, len(ids)]

    @classmethod
    def restore(cls, chunks: Iterable[list[Any]], expired_max: int = EXPIRED_MAX) -> Sessions:
        """Build the table that ``snapshot`` told.

        Raises:
            InvalidSnapshot: the chunks are not what ``snapshot`` yields: cut short, or damaged.
        """
        sessions = cls(expired_max)
        stream = iter(chunks)
        try:
            count, expired = next(stream)
            sessions.expired.update(expired)
            for session, token, lease_seconds, applied, results in chain.from_iterable(stream):
                sessions.table[session] = SessionRecord(token, lease_seconds, applied, dict(results))
                sessions.tokens[token] = session
        except (StopIteration, TypeError, ValueError) as error:
            raise InvalidSnapshot("sessions: not a snapshot") from error
        if count != len(sessions.table):
            raise InvalidSnapshot(f"sessions: {len(sessions.table)} sessions where {count} were announced")
        return sessions

    def clone(self) -> Sessions:
        """Copy the table; neither sees what later happens to the other."""
        other = Sessions(self.expired_max)
        other.table = {session: SessionRecord(r.token, r.lease_seconds, r.applied, r.results.copy()) for session, r in self.table.items()}
        other.tokens = self.tokens.copy()
        other.expired = self.expired.copy()
        return other

    def freeze(self) -> tuple[object, ...]:
        """Tell the whole state as one hashable tuple, equal for equal states."""
        open_sessions = tuple((session, r.token, r.lease_seconds, r.applied, tuple(r.results.items())) for session, r in sorted(self.table.items()))
        return open_sessions, tuple(self.expired.items())


def _row(session: int, record: SessionRecord) -> list[object]:
    """Tell one session as it is now."""
    return [session, record.token, record.lease_seconds, record.applied, [[number, result] for number, result in record.results.items()]]


class _Moment:
    """What the table held when this was made, as far as it changed since and was not told yet: copied on the first change.

    Ids of sessions only grow: what is above ``newest`` was opened later. They are told in ascending order, up to ``told`` by now.

    Attributes:
        past: ``{session: its row}``.
        told: every session up to this one was told.
        newest: the last session there was.
    """

    __slots__ = ("newest", "past", "told")

    def __init__(self, newest: int) -> None:
        self.past: dict[int, list[object]] = {}
        self.told = 0
        self.newest = newest

    def remember(self, session: int, record: SessionRecord) -> None:
        """Note what a session is, before it changes."""
        if self.told < session <= self.newest and session not in self.past:
            self.past[session] = _row(session, record)


class SessionsSnapshot:
    """The table of one moment as chunks, of which the number is known and each is worked out when it is asked for; dropping it ends it.

    Args:
        sessions: the table; it goes on changing.
    """

    def __init__(self, sessions: Sessions) -> None:
        """Take the moment: some steps for each session, at the speed of C."""
        ids = sorted(sessions.table)  # they are, as a rule: then this is a copy
        ends = sessions.ends(ids)
        self._count = 1 + len(ends)
        chunks = sessions.chunks(ids, ends)
        self._chunks = chain((next(chunks),), chunks)

    def __len__(self) -> int:
        """Number of chunks, those included that were taken."""
        return self._count

    def __iter__(self) -> Iterator[list[object]]:
        """The chunks that were not taken yet."""
        return self._chunks
