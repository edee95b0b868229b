"""Between a waiting task and the sans-IO session: what was submitted, what came back, and how many may be on their way.

A submission and its wait are two things.  ``Call`` is the handle that completions bring back; it takes them whether anybody waits or not, and
gives its room back only then.  So a timeout ends a wait, never a sending, and commands whose waiters gave up still count against ``Room``: a
cluster that does not answer cannot be made to owe more than the limits.
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import Enum
from types import EllipsisType
from typing import TYPE_CHECKING, Literal

import attrs
import trio

from replica.core.flights import Completion, CompletionKind
from statemachine.command import CAS_VALUE, CAS_VERSION, InvalidCommand, check_command, check_key, check_query
from triskele.errors import Refused, Unavailable, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from replica.core.messages import Query, Value

COMMANDS_IN_FLIGHT_MAX = 1024
"""Commands of one session on their way; more wait for room."""
BYTES_IN_FLIGHT_MAX = 8 << 20
"""Bytes of their keys and values; more wait for room (one command always goes)."""

VERSION_MAX = (1 << 63) - 1


class Consistency(Enum):
    """How a command is ordered: ``STRONG`` is linearizable, ``CAUSAL`` keeps the session guarantees at the nearest replica."""

    STRONG = "strong"
    CAUSAL = "causal"


STRONG, CAUSAL = Consistency.STRONG, Consistency.CAUSAL

ConsistencyName = Literal["strong", "causal"]
"""A consistency as text is taken too."""


class Room:
    """What one session may have on its way.

    Args:
        commands_max: commands.
        bytes_max: bytes of keys and values.

    Invariants: at most ``commands_max`` commands; more than ``bytes_max`` bytes only by the last command taken.
    """

    def __init__(self, commands_max: int = COMMANDS_IN_FLIGHT_MAX, bytes_max: int = BYTES_IN_FLIGHT_MAX) -> None:
        self.commands_max, self.bytes_max = commands_max, bytes_max
        self.commands = self.bytes = 0
        self._waiting = trio.lowlevel.ParkingLot()

    @property
    def free(self) -> bool:
        """Whether one more command may go."""
        return self.commands < self.commands_max and self.bytes < self.bytes_max

    async def reserve(self) -> None:
        """Take room for one command, behind those who wait already; it must be given back, by its call or by whoever does not submit it."""
        await trio.lowlevel.checkpoint_if_cancelled()
        queued = bool(self._waiting)
        while queued or not self.free:
            await self._waiting.park()
            queued = False
        self.take(1, 0)

    def take(self, commands: int, size_bytes: int) -> None:
        """Take room, and let the next who waits look at what is left."""
        self.commands += commands
        self.bytes += size_bytes
        if self._waiting and self.free:
            self._waiting.unpark()

    def give(self, commands: int, size_bytes: int) -> None:
        """Give room back."""
        self.commands -= commands
        self.bytes -= size_bytes
        if self._waiting and self.free:
            self._waiting.unpark()


@attrs.define(eq=False)
class Call:
    """One submission: who waits for it, and what came of it.

    Attributes:
        count: its commands.
        writes: whether they may change something (so that an answer that did not come is ``Unknown``).
        size_bytes: of its keys and values.
        room: gets room for the whole call back when all its completions have come.
        values: ``[value, outcome or rows for each command]``.
        versions: ``[version of each read value]``.
        complete: ``[1 for each command that has its answer]``.
        failed: why the others will have none.
        done: set when no completion is missing.
    """

    count: int
    writes: bool
    size_bytes: int = 0
    room: Room | None = None
    values: list[Value] = attrs.field(init=False)
    versions: list[int] = attrs.field(init=False)
    complete: bytearray = attrs.field(init=False)
    failed: str = ""
    left: int = attrs.field(init=False)
    done: trio.Event = attrs.Factory(trio.Event)

    def __attrs_post_init__(self) -> None:
        count = self.count
        self.values, self.versions, self.complete, self.left = [None] * count, [0] * count, bytearray(count), count

    def take(self, completion: Completion) -> None:
        """Take what a completion brings."""
        start, end = completion.first, completion.first + completion.count
        if completion.kind is CompletionKind.FAILED:
            self.failed = completion.reason
        else:
            self.complete[start:end] = b"\1" * completion.count
            if completion.values is not None:
                self.values[start:end] = completion.values
            if completion.versions is not None:
                self.versions[start:end] = completion.versions
        self.left -= completion.count
        if self.left <= 0 and not self.done.is_set():
            self.done.set()
            if self.room is not None:
                self.room.give(self.count, self.size_bytes)

    def result(self, place: int, timeout: float) -> Value:
        """Return one command's value, outcome or rows.

        Args:
            place: of the command in the submission.
            timeout: how long it was waited for, seconds; for the message.

        Raises:
            Unknown: it may change something and has no answer.
            Unavailable: it changes nothing and has no answer.
        """
        if self.complete[place]:
            return self.values[place]
        why = f"the session ended before an answer came: {self.failed}" if self.failed else no_answer(timeout)
        raise Unknown(f"{why}: the command may have taken effect, or may still") if self.writes else Unavailable(why)


def on_completions(completions: list[Completion], now: float) -> None:  # noqa: ARG001 - the driver's callback
    """Hand completions to their calls."""
    for completion in completions:
        call = completion.handle
        if isinstance(call, Call):
            call.take(completion)


def no_answer(seconds: float) -> str:
    """Say that a wait ended."""
    return f"no answer within {seconds:g} s"


@contextmanager
def limited(seconds: float, sent: Callable[[], bool]) -> Iterator[None]:
    """Limit a wait, and say what its end means.

    Args:
        seconds: how long.
        sent: whether something that may change the store was sent.

    Raises:
        Unknown: the time is over, and something was.
        Unavailable: the time is over, and nothing was.
    """
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        if sent():
            raise Unknown(f"{no_answer(seconds)}: the command may have taken effect, or may still")
        raise Unavailable(no_answer(seconds))


def cas_condition(expected: bytes | EllipsisType | None, version: int | EllipsisType) -> tuple[int, bytes | int | None]:
    """Return the kind of a cas and what it compares with.

    Raises:
        TypeError: not exactly one of the two is given.
    """
    if isinstance(version, EllipsisType) and not isinstance(expected, EllipsisType):
        return CAS_VALUE, expected
    if isinstance(expected, EllipsisType) and not isinstance(version, EllipsisType):
        return CAS_VERSION, version
    raise TypeError("cas takes either expected= (a value, or None for a missing key) or version=")


def consistency_or_refuse(given: Consistency | ConsistencyName) -> Consistency:
    """Return a consistency that may have been given as text.

    Raises:
        Refused: there is no such consistency: nobody gets another than was asked for.
    """
    try:
        return Consistency(given)
    except ValueError:
        raise Refused(f"consistency {given!r}: there is strong and causal") from None


def seconds_or_refuse(timeout: object) -> float:
    """Return how long a wait may take.

    Raises:
        Refused: nobody can wait so long.
    """
    if not isinstance(timeout, int | float) or not timeout >= 0:  # not a number is not >= 0
        raise Refused(f"timeout {timeout!r}: must be a number of seconds from 0")
    try:
        return float(timeout)
    except OverflowError:
        raise Refused("timeout: must be a number of seconds that a float can hold (math.inf: for ever)") from None


def command_or_refuse(kind: int, key: bytes, item: Value) -> None:
    """Check a command before it is numbered: a replica that finds it malformed can only close the link.

    Raises:
        Refused: it is none; the message names the limit.
    """
    try:
        check_command(kind, key, item)
    except InvalidCommand as error:
        raise Refused(str(error)) from None
    if kind == CAS_VERSION and isinstance(item, list) and isinstance(item[0], int) and item[0] > VERSION_MAX:
        raise Refused(f"version {item[0]} is over the largest there can be, {VERSION_MAX}")


def key_or_refuse(key: bytes) -> None:
    """Check the key of a read before it is numbered.

    Raises:
        Refused: it is none; the message names the limit.
    """
    try:
        check_key(key)
    except InvalidCommand as error:
        raise Refused(str(error)) from None


def query_or_refuse(query: Query) -> None:
    """Check a scan before it is numbered.

    Raises:
        Refused: it is none; the message names the limit.
    """
    try:
        check_query(query)
    except InvalidCommand as error:
        raise Refused(str(error)) from None
