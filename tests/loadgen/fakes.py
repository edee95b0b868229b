"""A client that answers everything itself: what it is asked in one turn completes in the next, or after a delay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import trio

from replica.core.flights import Completion, CompletionKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.core.messages import Query, Value


@attrs.define(eq=False)
class FakeSession:
    """Remembers what it was asked; answers reads from the driver's store."""

    driver: FakeDriver
    id: int
    asked: list[tuple[str, list[Any], object]] = attrs.Factory(list)
    number: int = 0
    lost: str = ""

    def record(self, kinds: bytes, keys: list[bytes], values: list[Value], handle: object, now: float) -> int:
        assert len(kinds) == len(keys) == len(values) > 0
        assert self.driver.now() - 0.5 <= now <= self.driver.now()
        first = self.number + 1
        self.number += len(keys)
        self.driver.ask(self, "causal_write" if kinds[0] >= 0x80 else "strong_write", keys, values, kinds, handle)
        return first

    def strong_read(self, queries: list[Query], handle: object, now: float) -> None:
        assert self.driver.now() - 0.5 <= now <= self.driver.now()
        self.driver.ask(self, "strong_read", queries, None, b"", handle)

    def causal_read(self, queries: list[Query], handle: object, now: float) -> None:
        assert self.driver.now() - 0.5 <= now <= self.driver.now()
        self.driver.ask(self, "causal_read", queries, None, b"", handle)


@attrs.define(eq=False)
class FakeDriver:
    """A driver and its client in one; every session shares one store that answers at once."""

    on_completions: Callable[[list[Completion], float], None]
    delay_seconds: float = 0.0
    fast: bool = True
    refuses: str = ""
    store: dict[bytes, object] = attrs.Factory(dict)
    asked: list[tuple[int, str, list[Any]]] = attrs.Factory(list)
    sessions: list[FakeSession] = attrs.Factory(list)
    remembers: bool = True
    stalled: bool = False
    waiting: list[tuple[float, Completion]] = attrs.Factory(list)
    woken: trio.Event = attrs.Factory(trio.Event)
    clock: Callable[[], float] = trio.current_time

    @property
    def client(self) -> FakeDriver:
        return self

    def now(self) -> float:
        """The time that sessions are told is this clock's; it goes on between a submission and a look at it."""
        return self.clock()

    def wake(self) -> None:
        self.woken.set()

    def open_session(self, token: bytes, handle: object) -> FakeSession:
        assert token
        session = FakeSession(self, len(self.sessions) + 1)
        self.sessions.append(session)
        self.answer(Completion(session, handle, CompletionKind.OPENED, 0, 0))  # type: ignore[arg-type]
        return session

    def ask(self, session: FakeSession, what: str, keys: list[Any], values: list[Any] | None, kinds: bytes, handle: object) -> None:
        if self.remembers:
            self.asked.append((session.id, what, keys))
        count = len(keys)
        if self.refuses:
            self.answer(Completion(session, handle, CompletionKind.FAILED, 0, count, reason=self.refuses))  # type: ignore[arg-type]
            return
        if values is None:
            found: list[Any] = [self.store.get(key) if isinstance(key, bytes) else [] for key in keys]
            self.answer(Completion(session, handle, CompletionKind.READ, 0, count, found, [0] * count))  # type: ignore[arg-type]
            return
        results = None
        if kinds[0] == 2:
            results = [self.store.get(key) == change[0] for key, change in zip(keys, values, strict=True)]
            values = [change[1] for change in values]
        self.store.update(zip(keys, values, strict=True))
        self.answer(Completion(session, handle, CompletionKind.RECORDED, 0, count, results, None, self.fast))  # type: ignore[arg-type]

    def answer(self, completion: Completion) -> None:
        self.waiting.append((trio.current_time() + self.delay_seconds, completion))

    async def run(self) -> None:
        """Hand out what is due, all of it in one callback."""
        while True:
            if not self.waiting or self.stalled:
                self.woken = trio.Event()
                await self.woken.wait()
                continue
            due = self.waiting[0][0]
            if due > trio.current_time():
                await trio.sleep_until(due)
            else:
                await trio.lowlevel.checkpoint()
            now = trio.current_time()
            ready = [completion for due, completion in self.waiting if due <= now]
            self.waiting = [(due, completion) for due, completion in self.waiting if due > now]
            if ready:
                self.on_completions(ready, self.now())
