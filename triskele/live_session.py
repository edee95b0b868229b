"""The session behind a ``Store``: opened when it is first needed, replaced when the cluster ended it, bounded in what it has on its way.

A session that was lost (expired, or unknown to the cluster) takes the outcome of what it had on its way with it, but not what it has seen: the
next one starts at its floor, so that reads go on where they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from triskele.calls import CAUSAL, Call, Consistency, Room
from triskele.errors import Unavailable, Unknown
from triskele.lost_writes import LostWrites

if TYPE_CHECKING:
    from replica.client_driver import ClientDriver
    from replica.core.messages import Query, Value
    from replica.core.session import Session

TOKEN_BYTES = 16
"""Of a session's token, unique for all time."""


class LiveSessions:
    """The sessions over one connection: they end with it, whoever uses them still.

    Args:
        driver: the links.
    """

    def __init__(self, driver: ClientDriver) -> None:
        self.driver = driver
        self._live: dict[LiveSession, None] = {}
        self._closed = False

    def new(self) -> LiveSession:
        """Make a session."""
        live = LiveSession(self.driver)
        self._live[live] = None
        if self._closed:
            self.close_one(live)
        return live

    def close_one(self, live: LiveSession) -> None:
        """End a session."""
        self._live.pop(live, None)
        live.close()

    def close(self) -> None:
        """End all, and those too that somebody may want yet."""
        self._closed = True
        for live in list(self._live):
            self.close_one(live)


class LiveSession:
    """One session, as long as its owner wants it.

    Args:
        driver: the links; shared with other sessions.
    """

    def __init__(self, driver: ClientDriver) -> None:
        self._driver = driver
        self._session: Session | None = None
        self._opening: tuple[Session, Call] | None = None
        self._closed = False
        self._flush: tuple[Session, int, Call] | None = None  # (session, its last command then, what waits for that): for all who wait for the same
        self._lost = LostWrites()
        self.room = Room()

    async def open(self) -> Session:
        """Return the open session. Whoever gives up waiting leaves the opening to the next.

        Raises:
            Unavailable: the cluster opens none (it has too many), or this one was closed.
        """
        while self._session is None or self._session.lost:
            if self._closed:
                raise Unavailable("the session was closed")
            if self._opening is None:
                call = Call(1, writes=False)
                self._opening = self._driver.client.open_session(self._driver.surroundings.entropy(TOKEN_BYTES), call), call
                self._driver.wake()
            opening = self._opening
            await opening[1].done.wait()
            if self._opening is opening:
                self._opening = None
                if not opening[1].failed:
                    self._replace(opening[0])
            if opening[1].failed and not self._closed:
                raise Unavailable(f"the cluster opened no session: {opening[1].failed}")
        return self._session

    def _replace(self, session: Session) -> None:
        old, self._session = self._session, session
        if old is not None:
            session.floor = max(session.floor, old.floor)
            self._lost.replaced(old.lost if old.committed < old.number else "")

    @trio.lowlevel.enable_ki_protection
    def close(self) -> None:
        """End the session: the cluster does so when it has applied its last command. Whoever waits for an answer is told at the end of the turn."""
        self._closed = True
        for session in (self._session, self._opening[0] if self._opening is not None else None):
            if session is not None and not session.lost:
                self._driver.client.close_session(session)
                self._driver.wake()

    async def ready(self) -> Session:
        """Wait for room for one command and for the session; submit before the next checkpoint. Raises as ``open``."""
        await self.room.reserve()
        try:
            return await self.open()
        except BaseException:
            self.room.give(1, 0)
            raise

    @trio.lowlevel.enable_ki_protection
    def submit_read(self, session: Session, queries: list[Query], consistency: Consistency, *, versioned: bool = False) -> Call:
        """Submit reads to a session that is ``ready``; they are on their way when the turn ends.

        Args:
            session: from ``ready``.
            queries: keys and scans, checked.
            consistency: of all.
            versioned: every answer brings its version, strongly and for another round trip.
        """
        call = self._call(len(queries), sum(len(query) for query in queries if isinstance(query, bytes)), writes=False)
        if consistency is CAUSAL and not versioned:
            session.causal_read(queries, call, self._driver.now())
        else:
            session.strong_read(queries, call, self._driver.now(), versioned=versioned)
        self._driver.wake()
        return call

    @trio.lowlevel.enable_ki_protection
    def submit_record(self, session: Session, kinds: bytes, keys: list[bytes], values: list[Value]) -> Call:
        """Submit logged commands, checked, all strong or all causal, to a session that is ``ready``."""
        call = self._call(len(keys), sum(map(command_bytes, keys, values)), writes=True)
        self._lost.wrote()
        session.record(kinds, keys, values, call, self._driver.now())
        self._driver.wake()
        return call

    def _call(self, count: int, size_bytes: int, *, writes: bool) -> Call:
        self.room.take(count - 1, size_bytes)  # ``ready`` took the first
        return Call(count, writes, size_bytes, self.room)

    async def read(self, queries: list[Query], consistency: Consistency, *, versioned: bool = False) -> Call:
        """Read and wait for the answers; a session that is lost meanwhile is replaced and asked again. Raises as ``open``."""
        while True:
            session = await self.ready()
            call = self.submit_read(session, queries, consistency, versioned=versioned)
            await call.done.wait()
            if not call.failed:
                return call

    async def flush(self) -> None:
        """Wait until everything submitted so far is committed.

        Raises:
            Unknown: a session ended before it was; said once to each task that wrote to it.
        """
        session = self._session
        why = await self.wait_committed()
        if why and self._session is session:
            self._lost.told()
        why = self._lost.take() or why
        if why:
            raise Unknown(f"the session ended before everything was known to be committed: {why}")

    async def wait_committed(self) -> str:
        """Wait until everything submitted to the present session is committed; return why that will not be known, if so."""
        session = self._session
        if session is None or session.lost:
            await trio.lowlevel.checkpoint()
            return session.lost if session is not None and session.committed < session.number else ""
        if self._flush is None or self._flush[:2] != (session, session.number):
            call = Call(1, writes=True)
            self._flush = session, session.number, call
            session.flush(call)
            self._driver.wake()
        call = self._flush[2]
        await call.done.wait()
        return call.failed


def command_bytes(key: bytes, value: Value) -> int:
    """Return the bytes of a command's key and values."""
    if isinstance(value, list):
        return len(key) + sum(len(item) for item in value if isinstance(item, bytes))
    return len(key) + len(value or b"")
