"""One operation of a recorded history: what was asked, what was answered, and when; all bytes, whatever the format was.

Moments are running numbers of the history's events: a later event has a larger one, so that they need no clock. An operation that was never
answered, or whose outcome is unknown, may take effect at any moment after its invocation, or never.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Final

import attrs

from loadgen.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

NEVER: Final = 1 << 62
"""The moment at which an operation without an answer returns."""

KINDS: Final = frozenset({"get", "put", "delete", "cas", "scan", "append"})
"""``append`` (concatenates to the value) occurs in others' histories only."""

READS: Final = frozenset({"get", "scan"})

Process = Hashable
"""A session's id, or a process of Jepsen's."""

Row = tuple[bytes, bytes, int]
"""Of a scan's answer: key, value, version."""


WHY_CHARACTERS_MAX: Final = 300
"""Of a refusal: what it quotes may be as long as the file."""


class Unreadable(Exception):
    """A history that no verdict can be given on.

    Args:
        line: number of the line that shows it, from 1; 0 where it is no single one.
        why: in words.
    """

    exit_status = 2

    def __init__(self, line: int, why: str) -> None:
        why = printable(why if len(why) <= WHY_CHARACTERS_MAX else why[:WHY_CHARACTERS_MAX] + "…")
        super().__init__(f"line {line}: {why}" if line else why)
        self.line = line
        self.why = why


@attrs.define(eq=False)
class Operation:
    """An operation.

    Attributes:
        place: among the history's operations, in order of invocation, from 0.
        line: of its invocation.
        process: who issued it.
        kind: one of ``KINDS``.
        key: that it is about; a scan's start.
        value: that it writes; None for deletes and reads.
        strong: its consistency.
        number: a logged command's number in its session, where known.
        invoked, returned: moments; ``NEVER`` where no answer that means anything came.
        invoked_at, returned_at: nanoseconds, for pictures only.
        answered: it took effect and was answered.
        failed: it is known to have had no effect; a cas that did not swap is ``refused`` too: it tells what was not there.
        seen: what an answered get read.
        version: of that value, 0 where not told.
        rows, more: of an answered scan; ``more``: its page ends at this key (exclusive), True: behind its last row; False: at the scan's end.
        expected, expected_version: of a cas, by value or by version; a version of None says that it compares values.
        end, limit: of a scan.
    """

    place: int
    line: int
    process: Process
    kind: str
    key: bytes
    value: bytes | None
    strong: bool
    number: int | None
    invoked: int
    invoked_at: int
    returned: int = NEVER
    returned_at: int = 0
    answered: bool = False
    failed: bool = False
    refused: bool = False
    seen: bytes | None = None
    version: int = 0
    rows: tuple[Row, ...] = ()
    more: bytes | bool = False
    expected: bytes | None = None
    expected_version: int | None = None
    end: bytes | None = None
    limit: int = 0

    @property
    def reads_only(self) -> bool:
        """Whether it is a get or a scan."""
        return self.kind in READS

    @property
    def prior(self) -> bool:
        """Whether it tells what was there before the history (``loadgen.checkers.prior``)."""
        return self.invoked < 0

    @property
    def stop(self) -> bytes | None:
        """Where an answered scan's page ends (exclusive); None: at the last key."""
        if isinstance(self.more, bytes):
            return self.more
        return self.rows[-1][0] + b"\0" if self.more and self.rows else self.end

    def covered(self, keys: Sequence[bytes]) -> range:
        """Return the places, in a sorted list, of the keys that an answered scan would have shown if they were there."""
        stop = self.stop
        return range(bisect_left(keys, self.key), len(keys) if stop is None else bisect_left(keys, stop))

    def __str__(self) -> str:
        how = "" if self.strong else "causal "
        number = f" #{self.number}" if self.number is not None else ""
        return f"{shown(self.process)}{number} {how}{self.what} {self.outcome}"

    @property
    def what(self) -> str:
        """What was asked, in words."""
        key = f" {shown(self.key)}" if self.key else ""
        if self.kind == "cas":
            old = shown(self.expected) if self.expected_version is None else f"version {self.expected_version}"
            return f"cas{key} {old} -> {shown(self.value)}"
        if self.kind in {"put", "append"}:
            return f"{self.kind}{key} {shown(self.value)}"
        return f"{self.kind}{key}"

    @property
    def outcome(self) -> str:
        """What was answered, in words."""
        if self.refused:
            return "(not swapped)"
        if self.failed:
            return "(failed)"
        if not self.answered:
            return "(outcome unknown)"
        if self.kind == "get":
            return f"= {shown(self.seen)}" + (f" version {self.version}" if self.version else "")
        if self.kind == "scan":
            return "= " + (", ".join(f"{shown(key)}: {shown(value)}" for key, value, _ in self.rows) or "nothing")
        return "ok"


def shown(data: Any) -> str:
    """Return bytes (or a process) for people: text where it is printable, cut where it is long."""
    if data is None:
        return "nothing"
    if not isinstance(data, bytes):
        return printable(str(data))
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = f"hex:{data.hex()}"
    if not text.isprintable():
        text = f"hex:{data.hex()}"
    text = text.partition(";")[0] if len(text) > _SHOWN_MAX else text  # the load generator's values: name, semicolon, filler
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


_SHOWN_MAX: Final = 24


@attrs.frozen(eq=False)
class History:
    """What was asked and answered.

    Attributes:
        operations: all of them in order of invocation, each at its ``place``.
        begins_empty: nothing was there before the first of them; False: something may have been, and the history does not tell what. Writes of what
            it does tell, if they were added, are ``prior``.
    """

    operations: list[Operation]
    begins_empty: bool = True
