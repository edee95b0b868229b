"""Makes operations of events: each response goes to its invocation; what cannot be true is unreadable, never a verdict.

An event is a dictionary as ``loadgen.history`` writes it, whatever the format of the file was. Times may be missing; where they are given they
must not go back, because the order of the events is the order of time. An answer may leave out what was asked; what it repeats must be the same.
What was read it must tell, null for nothing: a record that lost it is no absent key.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from loadgen.checkers.operation import KINDS, History, Operation, Process, Row, Unreadable, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    Event = dict[str, Any]

BEFORE: Final = {"type": "before", "state": "unknown"}
"""The first event of a history whose store may have held something when it began; what, nobody tells."""

TIME_MAX: Final = (1 << 63) - 1
"""292 years in nanoseconds."""

_TYPES: Final = frozenset({"invoke", "ok", "fail", "unknown"})


class Pairing:
    """Takes events one by one; ``history`` gives what they were."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._open: dict[tuple[Process, object], Operation] = {}  # {(process, id): invoked and not answered}
        self._numbers: set[tuple[Process, int]] = set()
        self._texts: dict[str, bytes] = {}  # one object for equal values: most are read many times
        self._moment = 0
        self._time = 0
        self._begins_empty = True

    def take(self, event: Event, line: int) -> None:
        """Take the next event.

        Raises:
            Unreadable: it cannot be: the field and its value are named.
        """
        if event.get("type") == BEFORE["type"]:
            self._before(event, line)
            return
        self._moment += 1
        try:
            type_, process, number = event["type"], event["process"], event["id"]
        except KeyError as error:
            raise Unreadable(line, f"an event needs {error.args[0]!r}") from None
        time = event.get("time")
        if time is not None:
            if not isinstance(time, int):
                raise Unreadable(line, f"time {time!r} is no whole number of nanoseconds")
            if time > TIME_MAX:
                raise Unreadable(line, f"time is more than {TIME_MAX} nanoseconds")
            if time < self._time:
                raise Unreadable(line, f"time {time} is before {self._time}, the time of an earlier line")
            self._time = time
        if not isinstance(type_, str) or type_ not in _TYPES:
            raise Unreadable(line, f"type {type_!r} is none of invoke, ok, fail, unknown")
        if not isinstance(process, int | str) or not isinstance(number, int | str):
            raise Unreadable(line, f"process {process!r} or id {number!r} is neither a number nor text")
        mine = self._open.pop((process, number), None)
        if type_ == "invoke":
            if mine is not None:
                raise Unreadable(line, f"operation {number} of process {process} is invoked twice, first in line {mine.line}")
            self._invoke(event, line)
        elif mine is None:
            raise Unreadable(line, f"operation {number} of process {process} returns before it is invoked, or a second time")
        else:
            self._answer(mine, event, line)

    def history(self) -> History:
        """Return the operations of all events so far."""
        return History(self.operations, self._begins_empty)

    def _before(self, event: Event, line: int) -> None:
        if event.get("state") != BEFORE["state"]:
            raise Unreadable(line, f"state {event.get('state')!r:.80} of what was there before is not {BEFORE['state']!r}")
        if self.operations:
            raise Unreadable(line, "what was there before is told behind what came after it")
        self._begins_empty = False

    def _invoke(self, event: Event, line: int) -> None:
        op, process = event.get("op"), event["process"]
        if not isinstance(op, str) or op not in KINDS:
            raise Unreadable(line, f"op {op!r} is none of {', '.join(sorted(KINDS))}")
        consistency, number = event.get("consistency", "strong"), event.get("number")
        if consistency not in ("strong", "causal"):
            raise Unreadable(line, f"consistency {consistency!r} is neither strong nor causal")
        if op == "cas" and consistency == "causal":
            raise Unreadable(line, "a causal cas: whether it swaps is decided by the one order of all commands, so that cas is always strong")
        if number is not None:
            if not isinstance(number, int) or isinstance(number, bool) or (process, number) in self._numbers:
                raise Unreadable(line, f"number {number!r} is no number of its own in session {process}")
            self._numbers.add((process, number))
        value = self._data(event.get("value"), line) if op in {"put", "cas", "append"} else None
        if value is None and op in {"put", "cas", "append"}:
            raise Unreadable(line, f"{op} needs a value")
        key = self._data(event.get("key", ""), line) or b""
        operation = Operation(len(self.operations), line, process, op, key, value, consistency == "strong", number, self._moment, self._time)
        if op == "cas":
            operation.expected, operation.expected_version = self._data(event.get("expected"), line), _whole(event, "version", line)
            if operation.expected_version == 0:  # version 0 is what an absent key has
                operation.expected_version = None
        elif op == "scan":
            end = event.get("end")
            if isinstance(end, int | float):
                raise Unreadable(line, f"a scan's end is a key, not the number {end!r}")
            operation.end, operation.limit = self._data(end, line), _whole(event, "limit", line) or 0
        self.operations.append(operation)
        self._open[process, event["id"]] = operation

    def _answer(self, operation: Operation, event: Event, line: int) -> None:
        if event.get("op", operation.kind) != operation.kind:
            raise Unreadable(line, f"a {operation.kind} is answered as {event['op']!r}; it was invoked in line {operation.line}")
        type_ = event["type"]
        self._same(operation, event, line)
        operation.returned_at = self._time
        if type_ == "unknown":
            return
        if type_ == "fail" or event.get("swapped") is False:
            operation.failed, operation.refused = True, operation.kind == "cas" and event.get("swapped") is False
            operation.returned = self._moment
            return
        operation.answered, operation.returned = True, self._moment
        if operation.reads_only and "value" not in event:
            raise Unreadable(line, f"the {operation.kind} in line {operation.line} is answered without a value: null is what nothing is")
        if operation.kind == "get":
            operation.seen, operation.version = self._data(event.get("value"), line), _whole(event, "version", line) or 0
        elif operation.kind == "scan":
            self._page(operation, event, line)

    def _same(self, operation: Operation, event: Event, line: int) -> None:
        """Look whether an answer repeats what was asked; what it leaves out is not told again."""
        asked: dict[str, object] = {"key": operation.key}
        if event["type"] != "unknown" and not operation.reads_only:  # some recorders tell there how it failed
            asked["value"] = operation.value
        if operation.kind == "cas" and operation.expected is not None:
            asked["expected"] = operation.expected
        elif operation.kind == "scan":
            asked["end"] = operation.end
        for name, data in asked.items():
            told = event.get(name)
            if told is not None and self._data(told, line) != data:
                raise self._other(operation, line, name, told)
        version = _whole(event, "version", line)
        if operation.kind == "cas" and operation.expected_version is not None and version not in (None, operation.expected_version):
            raise self._other(operation, line, "version", version)
        if event.get("consistency") not in (None, "strong" if operation.strong else "causal"):
            raise self._other(operation, line, "consistency", event["consistency"])
        for name, number in (("number", operation.number), ("limit", operation.limit or None)):
            if event.get(name) not in (None, number):
                raise self._other(operation, line, name, event[name])

    @staticmethod
    def _other(operation: Operation, line: int, name: str, told: object) -> Unreadable:
        return Unreadable(line, f"answers with another {name}, {told!r:.80}, than the {operation.kind} in line {operation.line} asked with")

    def _page(self, scan: Operation, event: Event, line: int) -> None:
        """Take a scan's answer; without ``more``, a full page may have been cut and a short one was not."""
        try:
            rows = [self._row(*row, line=line) for row in event.get("value") or ()]
        except (TypeError, ValueError):
            raise Unreadable(line, f"a scan's value is a list of [key, value, version], not {event.get('value')!r:.80}") from None
        scan.rows = tuple(rows)
        more = event.get("more")
        scan.more = len(rows) >= scan.limit > 0 if more is None else more if isinstance(more, bool) else self._data(more, line) or False
        if wrong := _out_of_place(scan):
            raise Unreadable(line, f"{wrong}: nobody asked for that in line {scan.line}")

    def _row(self, key: object, value: object, version: object = 0, *_: object, line: int) -> Row:
        known, held = self._data(key, line), self._data(value, line)
        if known is None or held is None:
            raise ValueError
        return known, held, _whole({"version": version}, "version", line) or 0

    def _data(self, written: object, line: int) -> bytes | None:
        """Return a key or value as bytes: text, ``{"hex": …}``, or a plain number as others' histories have them."""
        if isinstance(written, str):
            known = self._texts.get(written)
            if known is None:
                known = self._texts[written] = written.encode("utf-8", "surrogatepass")
            return known
        if written is None:
            return None
        if isinstance(written, dict) and isinstance(written.get("hex"), str):
            try:
                return bytes.fromhex(written["hex"])
            except ValueError:
                raise Unreadable(line, f"{written['hex']!r} is not hexadecimal") from None
        if isinstance(written, bool | int | float):
            return self._data(str(written), line)
        raise Unreadable(line, f'{written!r:.80} is neither text nor {{"hex": …}}')


def _out_of_place(scan: Operation) -> str:
    """Return what of a scan's answer cannot be one to it, empty if all can."""
    keys = [key for key, _, _ in scan.rows]
    for key in keys:
        if key < scan.key or (scan.end is not None and key >= scan.end):
            return f"key {shown(key)} is not between {shown(scan.key)} and {'the end' if scan.end is None else shown(scan.end)}"
    if any(a >= b for a, b in pairwise(keys)):
        return "keys that do not ascend"
    if scan.limit and len(keys) > scan.limit:
        return f"{len(keys)} rows where the limit is {scan.limit}"
    if scan.more is True and not keys:
        return "more behind the last row, and no row"
    first = keys[-1] + b"\0" if keys else scan.key
    if isinstance(scan.more, bytes) and (scan.more < first or (scan.end is not None and scan.more > scan.end)):
        return f"more from key {shown(scan.more)} on, which is not behind the rows and before the end"
    return ""


def _whole(event: Event, name: str, line: int) -> int | None:
    number = event.get(name)
    if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 0):
        raise Unreadable(line, f"{name} {number!r} is no whole number from 0")
    return number


def paired(events: Iterable[Event]) -> History:
    """Return the history of events that come without a file: their lines are their running numbers."""
    pairing = Pairing()
    for line, event in enumerate(events, 1):
        pairing.take(event, line)
    return pairing.history()
