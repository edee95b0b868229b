"""The client library: sessions over shared links, for programs on Trio.

``connect`` gives a ``Store``, which is one session; ``store.session()`` opens another over the same links.  A command is numbered and queued in
one step and then waited for: a timeout or a cancellation ends the wait and never the sending, so the session's later commands go on.  What
became of a command whose wait ended is not known: ``Unknown``, never a guess.

What must not live here: numbering, tallies, retries (``replica.core``), links and turns (``replica.client_driver``).
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal, get_args, overload

from replica.client_driver import ClientSettings, Unreachable, open_client
from replica.cluster_file import parse_cluster
from replica.config import SettingError
from replica.surroundings import PROCESS, Surroundings
from statemachine.command import CAUSAL as CAUSAL_BIT
from statemachine.command import DELETE, PUT
from triskele.calls import (
    CAUSAL,
    STRONG,
    Consistency,
    ConsistencyName,
    cas_condition,
    command_or_refuse,
    consistency_or_refuse,
    key_or_refuse,
    limited,
    on_completions,
    query_or_refuse,
    seconds_or_refuse,
)
from triskele.errors import Refused, TriskeleError, Unavailable, Unknown
from triskele.live_session import LiveSessions
from triskele.pipeline import Pipeline, Result
from triskele.scanning import Scan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import EllipsisType

    from replica.core.messages import Value

__all__ = ["CAUSAL", "STRONG", "Consistency", "Pipeline", "Refused", "Result", "Store", "TriskeleError", "Unavailable", "Unknown", "connect"]

Transport = Literal["native", "websocket"]


class Store:
    """One session of a cluster; made by ``connect`` and ``Store.session``.

    Any number of tasks may use one at a time.  At most 1024 commands (or 8 MiB) are on their way; more wait for room, and count against their
    own timeouts.

    Args:
        sessions: those of the connection.
        timeout: seconds each command may take if it does not say otherwise.
    """

    def __init__(self, sessions: LiveSessions, timeout: float) -> None:
        self._sessions = sessions
        self._timeout = timeout
        self._live = sessions.new()

    # ------------------------------------------------------------------------------------------------------------------ reads

    @overload
    async def get(
        self, key: bytes, *, consistency: Consistency | ConsistencyName = ..., with_version: Literal[False] = ..., timeout: float | None = ...
    ) -> bytes | None: ...
    @overload
    async def get(
        self, key: bytes, *, consistency: Consistency | ConsistencyName = ..., with_version: Literal[True], timeout: float | None = ...
    ) -> tuple[bytes | None, int]: ...
    async def get(
        self, key: bytes, *, consistency: Consistency | ConsistencyName = STRONG, with_version: bool = False, timeout: float | None = None
    ) -> bytes | tuple[bytes | None, int] | None:
        """Read a key.

        Args:
            key: up to 4 KiB.
            consistency: ``STRONG`` (linearizable) or ``CAUSAL`` (nearest replica, session guarantees).
            with_version: return ``(value, version)``; the version is the log position of the write, 0 for a missing key. An own write that is
                not committed has none yet: then its commit is waited for and the key read again, strongly.
            timeout: seconds; None for the store's.

        Raises:
            Refused: the key is over its limit; no such consistency or time, as for all commands.
            Unavailable: no answer in time.
        """
        key_or_refuse(key)
        wanted, seconds = consistency_or_refuse(consistency), self._seconds(timeout)
        with limited(seconds, _nothing_sent):
            call = await self._live.read([key], wanted)
            if with_version and call.values[0] is not None and call.versions[0] == 0:
                await self._live.wait_committed()
                call = await self._live.read([key], STRONG, versioned=True)
        value, version = call.values[0], call.versions[0]
        assert value is None or isinstance(value, bytes)
        if with_version:
            return value, version if value is not None else 0
        return value

    async def scan(
        self,
        start: bytes = b"",
        end: bytes | None = None,
        limit: int = 1000,
        *,
        consistency: Consistency | ConsistencyName = STRONG,
        timeout: float | None = None,
    ) -> list[tuple[bytes, bytes]]:
        """Read the keys in ``[start, end)`` in order, up to ``limit``; each page of 1000 rows is linearizable (or causal) by itself.

        Args:
            start: first key.
            end: first key not wanted; None for no end.
            limit: rows at most, 1 or more.
            consistency: of each page.
            timeout: seconds for all of it; None for the store's.

        Raises:
            Refused: a bad limit or key.
            Unavailable: not all pages came in time.
        """
        query_or_refuse([start, end, limit])
        scan, wanted = Scan(start, end, limit), consistency_or_refuse(consistency)
        with limited(self._seconds(timeout), _nothing_sent):
            while not scan.finished:
                call = await self._live.read([scan.query], wanted)
                scan.take(call.values[0])
        return scan.rows

    # ------------------------------------------------------------------------------------------------------------------ writes

    async def put(self, key: bytes, value: bytes, *, consistency: Consistency | ConsistencyName = STRONG, timeout: float | None = None) -> None:
        """Write a key.

        Args:
            key: up to 4 KiB.
            value: up to 1 MiB.
            consistency: ``CAUSAL`` returns when the session's home holds the write; ``flush`` waits for its commit.
            timeout: seconds; None for the store's. It ends the wait, not the sending.

        Raises:
            Refused: key or value is over its limit.
            Unavailable: it was not sent.
            Unknown: it was sent, and no answer came in time.
        """
        await self._record(PUT, key, value, consistency, timeout)

    async def delete(self, key: bytes, *, consistency: Consistency | ConsistencyName = STRONG, timeout: float | None = None) -> None:
        """Remove a key; a missing one is no error (ask with ``cas`` whether it was there). Raises as ``put``."""
        await self._record(DELETE, key, None, consistency, timeout)

    @overload
    async def cas(self, key: bytes, value: bytes, *, expected: bytes | None, timeout: float | None = ...) -> bool: ...
    @overload
    async def cas(self, key: bytes, value: bytes, *, version: int, timeout: float | None = ...) -> bool: ...
    async def cas(
        self,
        key: bytes,
        value: bytes,
        *,
        expected: bytes | EllipsisType | None = ...,
        version: int | EllipsisType = ...,
        timeout: float | None = None,
    ) -> bool:
        """Write a key if it still has a value (None: it is missing), or a version (0: it is missing). Always strong.

        Returns:
            Whether it was written.

        Raises:
            TypeError: not exactly one of ``expected`` and ``version`` is given.
            Refused, Unavailable, Unknown: as ``put``.
        """
        kind, condition = cas_condition(expected, version)
        return bool(await self._record(kind, key, [condition, value], STRONG, timeout))

    async def flush(self, *, timeout: float | None = None) -> None:
        """Wait until everything this session wrote, causal writes included, is committed.

        Raises:
            Unknown: it was not known to be in time, or the cluster ended the session before; each task that wrote to it is told, once.
        """
        with limited(self._seconds(timeout), _sent):
            await self._live.flush()

    # ------------------------------------------------------------------------------------------------------------------ more of them

    @asynccontextmanager
    async def pipeline(self, *, timeout: float | None = None) -> AsyncIterator[Pipeline]:
        """Gather many commands and send them together; results are read after the block.

        The commands are issued in their order when the block ends; a failed one fails alone. A block that raises sends nothing.

        Args:
            timeout: seconds for all of them, from the block's end; None for the store's.
        """
        batch, seconds = Pipeline(), self._seconds(timeout)
        try:
            yield batch
        finally:
            batch.over = True
        await batch.send(self._live, seconds)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Store]:
        """Open another session over the same links; it ends with the block.

        Raises:
            Unavailable: no leader opened it in time.
        """
        other = Store(self._sessions, self._timeout)
        try:
            await other.open()
            yield other
        finally:
            other.close()

    async def open(self) -> None:
        """Open the session, if it is not: commands do it by themselves.

        Raises:
            Unavailable: no leader opened it in time.
        """
        with limited(self._timeout, _nothing_sent):
            await self._live.open()

    def close(self) -> None:
        """End the session: no more commands here; the cluster forgets it when it has applied its last one.

        Whoever waits for a command of it is told at once: ``Unknown`` for one that may change something, ``Unavailable`` for a read.
        """
        self._sessions.close_one(self._live)

    # ------------------------------------------------------------------------------------------------------------------ inside

    async def _record(self, kind: int, key: bytes, value: Value, consistency: Consistency | ConsistencyName, timeout: float | None) -> Value:
        command_or_refuse(kind, key, value)
        if consistency_or_refuse(consistency) is CAUSAL:
            kind |= CAUSAL_BIT
        seconds, sent = self._seconds(timeout), False
        with limited(seconds, lambda: sent):
            session = await self._live.ready()
            call = self._live.submit_record(session, bytes([kind]), [key], [value])
            sent = True
            await call.done.wait()
        return call.result(0, seconds)

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else seconds_or_refuse(timeout)


def _nothing_sent() -> bool:
    return False


def _sent() -> bool:
    return True


@asynccontextmanager
async def connect(cluster: str | os.PathLike[str], *, timeout: float = 5.0, transport: Transport = "native") -> AsyncIterator[Store]:
    """Connect to a cluster and open a session.

    Args:
        cluster: ``ADDRESS,ADDRESS,…`` of all replicas, or the path of a ready file or cluster TOML.
        timeout: seconds each command may take if it does not say otherwise; connecting too.
        transport: which of a file's addresses to use; a list of addresses says it itself.

    Raises:
        Refused: ``cluster`` is neither a file nor addresses, or has none for clients; no such transport; no such time.
        Unavailable: nobody answered in time, or no leader opened a session.
    """
    if transport not in get_args(Transport):
        raise Refused(f"transport {transport!r}: there is {' and '.join(get_args(Transport))}")
    try:
        places = parse_cluster(os.fspath(cluster), "cluster")
    except SettingError as error:  # as a command would be told it
        raise Refused(str(error)) from None
    addresses = places.addresses(transport) or places.addresses("native") or places.addresses("websocket")
    if not addresses:
        raise Refused(f"cluster {cluster}: has no address for clients")
    async with open_store(addresses, seconds_or_refuse(timeout)) as store:
        yield store


@asynccontextmanager
async def open_store(addresses: Sequence[str], timeout: float, surroundings: Surroundings = PROCESS) -> AsyncIterator[Store]:
    """Connect to the replicas at these addresses; else as ``connect``."""
    settings = ClientSettings(connect_seconds=timeout)
    try:
        async with open_client(addresses, settings=settings, on_completions=on_completions, surroundings=surroundings) as driver:
            sessions = LiveSessions(driver)
            store = Store(sessions, timeout)
            try:
                await store.open()
                yield store
            finally:
                sessions.close()
                driver.end_turn()
    except Unreachable as error:
        raise Unavailable(str(error)) from None
