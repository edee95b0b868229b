"""The client library: sessions over shared links, for programs on Trio.

``connect`` gives a ``Store``, which is one session; ``store.session()`` opens another over the same links.  A command is numbered and queued in
one step and then waited for: a timeout or a cancellation ends the wait and never the sending, so the session's later commands go on.  What
became of a command whose wait ended is not known: ``Unknown``, never a guess.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import TYPE_CHECKING, Literal, overload

import attrs
import trio

from replica.client_driver import ClientDriver, ClientSettings, Unreachable, open_client
from replica.cluster_file import parse_cluster
from replica.core.session import Completion, CompletionKind
from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL as CAUSAL_BIT, DELETE, PUT, InvalidCommand, check_key, check_value

if TYPE_CHECKING:
    from replica.core.messages import Query, Value
    from replica.core.session import Session

IN_FLIGHT_MAX = 1024
"""Commands of one session on their way; more wait for room."""
SCAN_PAGE_ROWS = 1000


class Consistency(Enum):
    """How a command is ordered: ``STRONG`` is linearizable, ``CAUSAL`` keeps the session guarantees at the nearest replica."""

    STRONG = "strong"
    CAUSAL = "causal"


STRONG, CAUSAL = Consistency.STRONG, Consistency.CAUSAL


class TriskeleError(Exception):
    """Something the store could not do."""


class Unknown(TriskeleError):  # noqa: N818 - the field's word
    """The command was sent and its outcome is not known: it may have taken effect, or may still."""


class Unavailable(TriskeleError):  # noqa: N818 - the field's word
    """The command took no effect: nobody could be asked in time."""


class Refused(TriskeleError):  # noqa: N818 - the field's word
    """The command is not one the store takes; the message names the limit."""


@attrs.define(eq=False)
class Call:
    """Who waits for one submission; the handle that its completions bring back."""

    count: int
    writes: bool
    values: list[Value] = attrs.field(init=False)
    versions: list[int] = attrs.field(init=False)
    left: int = attrs.field(init=False)
    failed: str = ""
    done: trio.Event = attrs.Factory(trio.Event)

    def __attrs_post_init__(self) -> None:
        self.values, self.versions, self.left = [None] * self.count, [0] * self.count, self.count

    def take(self, completion: Completion) -> None:
        """Take what a completion brings."""
        place, count = completion.first, completion.count
        if completion.kind is CompletionKind.FAILED:
            self.failed = completion.reason
        elif completion.values is not None:
            self.values[place : place + count] = completion.values
            if completion.versions is not None:
                self.versions[place : place + count] = completion.versions
        self.left -= count
        if self.left <= 0:
            self.done.set()


def _on_completions(completions: list[Completion], now: float) -> None:  # noqa: ARG001 - the driver's callback
    for completion in completions:
        handle = completion.handle
        if isinstance(handle, Call):
            handle.take(completion)


class Store:
    """One session of a cluster; made by ``connect`` and ``Store.session``."""

    def __init__(self, driver: ClientDriver, timeout: float) -> None:
        self._driver = driver
        self._timeout = timeout
        self._session: Session | None = None
        self._opening = trio.Lock()
        self._room = trio.CapacityLimiter(IN_FLIGHT_MAX)

    # ------------------------------------------------------------------------------------------------------------------ commands

    @overload
    async def get(
        self, key: bytes, *, consistency: Consistency = ..., with_version: Literal[False] = ..., timeout: float | None = ...
    ) -> bytes | None: ...
    @overload
    async def get(
        self, key: bytes, *, consistency: Consistency = ..., with_version: Literal[True], timeout: float | None = ...
    ) -> tuple[bytes | None, int]: ...
    async def get(
        self, key: bytes, *, consistency: Consistency = STRONG, with_version: bool = False, timeout: float | None = None
    ) -> bytes | None | tuple[bytes | None, int]:
        """Read a key.

        Args:
            key: 1 byte to 4 KiB.
            consistency: ``STRONG`` (linearizable) or ``CAUSAL`` (nearest replica, session guarantees).
            with_version: return ``(value, version)``; the version is the log position of the write, 0 for a missing key. It may cost another
                round trip, since positions of uncommitted writes are not told.
            timeout: seconds; None for the connection's.

        Raises:
            Refused: the key is over its limit.
            Unavailable: no answer in time.
        """
        check_key_or_refuse(key)
        with self._limit(timeout, writes=False, sent=lambda: False):
            call = await self._read([key], consistency, versioned=False)
            value, version = call.values[0], call.versions[0]
            if with_version and value is not None and version == 0:
                await self._flush()
                call = await self._read([key], consistency, versioned=True)
                value, version = call.values[0], call.versions[0]
        assert value is None or isinstance(value, bytes)
        if with_version:
            return value, version if value is not None else 0
        return value

    async def put(self, key: bytes, value: bytes, *, consistency: Consistency = STRONG, timeout: float | None = None) -> None:
        """Write a key.

        Raises:
            Refused: key or value is over its limit.
            Unavailable: it was not sent.
            Unknown: it was sent, and no answer came in time.
        """
        check_key_or_refuse(key)
        check_value_or_refuse(value)
        await self._record(_kind(PUT, consistency), key, value, timeout)

    async def delete(self, key: bytes, *, consistency: Consistency = STRONG, timeout: float | None = None) -> None:
        """Remove a key; a missing one is no error (ask with ``cas`` whether it was there). Raises as ``put``."""
        check_key_or_refuse(key)
        await self._record(_kind(DELETE, consistency), key, None, timeout)

    @overload
    async def cas(self, key: bytes, value: bytes, *, expected: bytes | None, timeout: float | None = ...) -> bool: ...
    @overload
    async def cas(self, key: bytes, value: bytes, *, version: int, timeout: float | None = ...) -> bool: ...
    async def cas(
        self,
        key: bytes,
        value: bytes,
        *,
        expected: bytes | ellipsis | None = ...,
        version: int | ellipsis = ...,
        timeout: float | None = None,  # noqa: F821
    ) -> bool:
        """Write a key if it still has a value, or a version (0: it is missing). Always strong.

        Returns:
            Whether it was written.

        Raises:
            TypeError: not exactly one of ``expected`` and ``version`` is given.
            Refused, Unavailable, Unknown: as ``put``.
        """
        if (expected is ...) == (version is ...):
            message = "cas takes either expected= (a value, or None for a missing key) or version="
            raise TypeError(message)
        check_key_or_refuse(key)
        check_value_or_refuse(value)
        if expected is ...:
            call = await self._record(CAS_VERSION, key, [version, value], timeout)
        else:
            if expected is not None:
                check_value_or_refuse(expected)
            call = await self._record(CAS_VALUE, key, [expected, value], timeout)
        return bool(call.values[0])

    async def scan(
        self, start: bytes = b"", end: bytes | None = None, limit: int = 1000, *, consistency: Consistency = STRONG, timeout: float | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Read the keys in ``[start, end)`` in order, up to ``limit``; each page of 1000 rows is linearizable (or causal) by itself.

        Args:
            start: first key.
            end: first key not wanted; None for no end.
            limit: rows at most, 1 or more.
            consistency: of each page.
            timeout: seconds for all of it.

        Raises:
            Refused: a bad limit or key.
            Unavailable: no answer in time.
        """
        if limit < 1:
            message = f"limit {limit}: must be 1 or more"
            raise Refused(message)
        rows: list[tuple[bytes, bytes]] = []
        with self._limit(timeout, writes=False, sent=lambda: False):
            while len(rows) < limit:
                page = min(limit - len(rows), SCAN_PAGE_ROWS)
                call = await self._read([[start, end, page]], consistency, versioned=False)
                answer = call.values[0]
                assert isinstance(answer, list)
                found, more = answer
                assert isinstance(found, list)
                rows += [(key, value) for key, value, _version in found]
                if not more:
                    break
                start = more if isinstance(more, bytes) else found[-1][0] + b"\0"
        return rows

    async def flush(self, *, timeout: float | None = None) -> None:
        """Wait until everything this session wrote, causal writes included, is committed.

        Raises:
            Unknown: it was not known to be in time.
        """
        with self._limit(timeout, writes=True, sent=lambda: True):
            await self._flush()

    @asynccontextmanager
    async def pipeline(self, *, timeout: float | None = None) -> AsyncIterator[Pipeline]:
        """Gather many commands and send them together; results are read after the block.

        The commands are issued in their order when the block ends; a failed one fails alone.
        """
        batch = Pipeline()
        yield batch
        await batch.send(self, self._timeout if timeout is None else timeout)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Store]:
        """Open another session over the same links."""
        other = Store(self._driver, self._timeout)
        await other.open()
        try:
            yield other
        finally:
            other.close()

    # ------------------------------------------------------------------------------------------------------------------ inside

    async def open(self) -> None:
        """Open the session, if it is not.

        Raises:
            Unavailable: no leader opened it in time.
        """
        with self._limit(None, writes=False, sent=lambda: False):
            await self._ready()

    def close(self) -> None:
        """End the session in the log if everything of it is committed; otherwise its lease ends it."""
        session = self._session
        if session is not None and not session.lost:
            self._driver.client.close_session(session)
            self._driver.wake()

    async def _ready(self) -> Session:
        """Return the open session; one that was lost is replaced by a new one that keeps its floor."""
        session = self._session
        if session is not None and not session.lost:
            return session
        async with self._opening:
            while self._session is None or self._session.lost:
                old, call = self._session, Call(1, writes=False)
                opened = self._driver.client.open_session(secrets.token_bytes(16), call)
                self._driver.wake()
                await call.done.wait()
                if call.failed:
                    message = f"the cluster opened no session: {call.failed}"
                    raise Unavailable(message)
                if old is not None:
                    opened.floor = max(opened.floor, old.floor)
                self._session = opened
            return self._session

    async def _read(self, queries: list[Query], consistency: Consistency, *, versioned: bool) -> Call:
        session = await self._ready()
        call = Call(len(queries), writes=False)
        now = self._driver.now()
        if consistency is CAUSAL and not versioned:
            session.causal_read(queries, call, now)
        else:
            session.strong_read(queries, call, now, versioned=versioned)
        self._driver.wake()
        await call.done.wait()
        if call.failed:
            message = f"the session ended: {call.failed}"
            raise Unavailable(message)
        return call

    async def _record(self, kind: int, key: bytes, value: Value, timeout: float | None) -> Call:
        call = Call(1, writes=True)
        sent = False
        with self._limit(timeout, writes=True, sent=lambda: sent):
            async with self._room:
                session = await self._ready()
                session.record(bytes([kind]), [key], [value], call, self._driver.now())
                self._driver.wake()
                sent = True
                await call.done.wait()
        if call.failed:
            message = f"the session ended before an answer came: {call.failed}"
            raise Unknown(message)
        return call

    async def _flush(self) -> None:
        session = await self._ready()
        call = Call(1, writes=True)
        session.flush(call)
        self._driver.wake()
        await call.done.wait()
        if call.failed:
            message = f"the session ended before everything was committed: {call.failed}"
            raise Unknown(message)

    def _limit(self, timeout: float | None, *, writes: bool, sent: object) -> _Limit:
        return _Limit(self._timeout if timeout is None else timeout, writes, sent)


class _Limit:
    """A timeout that says what it means: ``Unknown`` for a command that was sent, ``Unavailable`` otherwise."""

    def __init__(self, seconds: float, writes: bool, sent: object) -> None:  # noqa: FBT001 - internal
        self._seconds, self._writes, self._sent = seconds, writes, sent
        self._scope = trio.move_on_after(seconds)

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        swallowed = bool(self._scope.__exit__(kind, error, traceback))  # type: ignore[arg-type]
        if self._scope.cancelled_caught:
            assert callable(self._sent)
            if self._writes and self._sent():
                message = f"no answer within {self._seconds:g} s: the command may have taken effect, or may still"
                raise Unknown(message)
            message = f"no answer within {self._seconds:g} s"
            raise Unavailable(message)
        return swallowed


@attrs.define(eq=False)
class Result:
    """What a pipeline's command returned: read it after the block."""

    _call: Call | None = None
    _place: int = 0
    _error: TriskeleError | None = None
    _read: bool = False

    def get(self) -> bytes | bool | None:
        """Return a get's value, a cas' outcome, None for the others.

        Raises:
            Unknown, Unavailable: what became of this command.
            RuntimeError: the pipeline's block has not ended.
        """
        if self._error is not None:
            raise self._error
        if self._call is None or not self._call.done.is_set():
            message = "a pipeline's results are read after its block"
            raise RuntimeError(message)
        value = self._call.values[self._place]
        assert value is None or isinstance(value, bytes | bool)
        return value


class Pipeline:
    """Commands that leave together, in order."""

    def __init__(self) -> None:
        self._queued: list[tuple[int, bytes, Value, Result]] = []  # kind (-1, -2: strong and causal get), key, value, result

    def get(self, key: bytes, *, consistency: Consistency = STRONG) -> Result:
        """Queue a read. Raises ``Refused`` at once for a bad key."""
        check_key_or_refuse(key)
        return self._add(-1 if consistency is STRONG else -2, key, None)

    def put(self, key: bytes, value: bytes, *, consistency: Consistency = STRONG) -> Result:
        """Queue a write."""
        check_key_or_refuse(key)
        check_value_or_refuse(value)
        return self._add(_kind(PUT, consistency), key, value)

    def delete(self, key: bytes, *, consistency: Consistency = STRONG) -> Result:
        """Queue a removal."""
        check_key_or_refuse(key)
        return self._add(_kind(DELETE, consistency), key, None)

    def cas(self, key: bytes, value: bytes, *, expected: bytes | None) -> Result:
        """Queue a compare-and-swap by value."""
        check_key_or_refuse(key)
        check_value_or_refuse(value)
        return self._add(CAS_VALUE, key, [expected, value])

    def _add(self, kind: int, key: bytes, value: Value) -> Result:
        result = Result()
        self._queued.append((kind, key, value, result))
        return result

    async def send(self, store: Store, timeout: float) -> None:
        """Send in order, at most ``IN_FLIGHT_MAX`` on their way, and wait for all."""
        deadline = trio.current_time() + timeout
        for start in range(0, len(self._queued), IN_FLIGHT_MAX):
            chunk = self._queued[start : start + IN_FLIGHT_MAX]
            calls: list[tuple[Call, list[Result]]] = []
            with trio.move_on_at(deadline):
                session = await store._ready()
                calls = _submit(session, chunk, store._driver.now())
                store._driver.wake()
                for call, _ in calls:
                    await call.done.wait()
            _settle(chunk, calls, timeout)


def _submit(session: Session, chunk: Sequence[tuple[int, bytes, Value, Result]], now: float) -> list[tuple[Call, list[Result]]]:
    """Submit runs of commands of one class, in order."""
    calls: list[tuple[Call, list[Result]]] = []
    start = 0
    while start < len(chunk):
        form = _class(chunk[start][0])
        end = start + 1
        while end < len(chunk) and _class(chunk[end][0]) == form:
            end += 1
        run = chunk[start:end]
        call = Call(len(run), writes=form >= 0)
        keys = [row[1] for row in run]
        if form == -1:
            session.strong_read(list(keys), call, now)
        elif form == -2:  # noqa: PLR2004 - a causal get
            session.causal_read(list(keys), call, now)
        else:
            session.record(bytes(row[0] for row in run), keys, [row[2] for row in run], call, now)
        for place, row in enumerate(run):
            row[3]._call, row[3]._place = call, place
        calls.append((call, [row[3] for row in run]))
        start = end
    return calls


def _settle(chunk: Sequence[tuple[int, bytes, Value, Result]], calls: list[tuple[Call, list[Result]]], timeout: float) -> None:
    """Give each command that has no answer its error."""
    for call, results in calls:
        if call.failed or not call.done.is_set():
            why = f"the session ended: {call.failed}" if call.failed else f"no answer within {timeout:g} s"
            for result in results:
                result._error = Unknown(why) if call.writes else Unavailable(why)
    if not calls:
        for row in chunk:
            row[3]._error = Unavailable(f"no answer within {timeout:g} s")


def _class(kind: int) -> int:
    return kind if kind < 0 else kind & CAUSAL_BIT


def _kind(kind: int, consistency: Consistency) -> int:
    return kind if consistency is STRONG else kind | CAUSAL_BIT


def check_key_or_refuse(key: bytes) -> None:
    """Check a key.

    Raises:
        Refused: it is none.
    """
    try:
        check_key(key)
    except InvalidCommand as error:
        raise Refused(str(error)) from None


def check_value_or_refuse(value: bytes) -> None:
    """Check a value.

    Raises:
        Refused: it is none.
    """
    try:
        check_value(value)
    except InvalidCommand as error:
        raise Refused(str(error)) from None


@asynccontextmanager
async def connect(cluster: str, *, timeout: float = 5.0, transport: Literal["native", "websocket"] = "native") -> AsyncIterator[Store]:
    """Connect to a cluster and open a session.

    Args:
        cluster: ``ADDRESS,ADDRESS,…`` of all replicas, or the path of a ready file or cluster TOML.
        timeout: seconds each command may take if it does not say otherwise.
        transport: which of a file's addresses to use.

    Raises:
        Unavailable: nobody answered in time, or no leader opened a session.
        replica.config.SettingError: ``cluster`` is neither a file nor addresses.
    """
    addresses = parse_cluster(cluster).addresses(transport)
    if not addresses and transport == "native":
        addresses = parse_cluster(cluster).addresses("websocket")
    with _flat_errors():
        async with open_client(addresses, settings=ClientSettings(connect_seconds=timeout), on_completions=_on_completions) as driver:
            store = Store(driver, timeout)
            await store.open()
            try:
                yield store
            finally:
                store.close()
                driver.end_turn()


class _flat_errors:  # noqa: N801 - used like a function
    """Let errors out of the nursery as themselves: one error is no group to a caller."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Unreachable):
            raise Unavailable(str(error)) from None
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
            if isinstance(error, Unreachable):
                raise Unavailable(str(error)) from None
            if not isinstance(error, BaseExceptionGroup):
                raise error from error.__cause__
