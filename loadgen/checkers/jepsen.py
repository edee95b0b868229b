"""Jepsen's two forms of a history: EDN (read and written) and the text log (read).

A Jepsen process has one operation at a time; ``:info`` says that its outcome is unknown. Operations are those of a register without a key
(``:read``, ``:write``, ``:cas [from to]``) or of a store (``:get``, ``:put``, ``:delete``, ``:append``, ``:cas``, ``:scan`` with ``:key``).
What we write keeps all that our own format tells (``:id``, ``:number``, ``:consistency``, ``:version`` …), so that reading it back loses nothing.

A session of ours has many operations in flight, so each of these has a *lane* for its ``:process``; whose it is, ``:session`` says.  Rejected: the
session for ``:process``, which Jepsen's checkers refuse as soon as it invokes a second operation before the first has returned.

In others' histories of stores each key begins as the empty string. Where nobody puts an empty string, one that is read is an absent key; where
values grow by appending, one that is put leaves the key absent too, so that both are the same.
"""

from __future__ import annotations

import heapq
import re
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import attrs

from loadgen.checkers.edn import BadEdn, Keyword, forms, written
from loadgen.checkers.operation import History, Operation, Unreadable
from loadgen.checkers.pairing import BEFORE, Pairing

if TYPE_CHECKING:
    from collections.abc import Iterable

    Event = dict[str, Any]

_TYPES: Final = {"invoke": "invoke", "ok": "ok", "fail": "fail", "info": "unknown"}
_OPS: Final = {"read": "get", "write": "put", "get": "get", "put": "put", "append": "append", "cas": "cas", "delete": "delete", "scan": "scan"}
PRIOR_STATE: Final = "prior-state"
"""What the nemesis does, in an EDN history of ours, where the store may have held something before; Jepsen's checkers take no notice."""
_NEMESIS: Final = "nemesis"
_LOG_LINE: Final = re.compile(r"\S+\s+jepsen\.util - (\S+)\s+:(\w+)\s+:(\w+)\s+(.*?)\s*")
_OTHER_LOG_LINE: Final = re.compile(r"(?:\S+ )*?(?:INFO|WARN|DEBUG|ERROR)\s+(?!jepsen\.util - )\S+.*")


def read_edn(text: str) -> History:
    """Read a history of EDN maps, one after the other or in one vector.

    Raises:
        Unreadable: it is no EDN, or no history.
    """
    processes = _Processes()
    try:
        for line, form in forms(text):
            for item in form if isinstance(form, list) else (form,):
                if not isinstance(item, dict):
                    raise Unreadable(line, f"{item!r:.60} is no map of an event")
                process = item.get("process")
                if process == _NEMESIS and isinstance(process, Keyword):  # what it did to the cluster is no operation
                    if item.get("f") == PRIOR_STATE:
                        processes.pairing.take(BEFORE, line)
                    continue
                if isinstance(process, Keyword):  # dropping it in silence might hide operations, or what went wrong
                    raise Unreadable(line, f"process :{process:.60} is neither a client nor :{_NEMESIS}")
                processes.take(_event(item, line), line)
    except BadEdn as error:
        raise Unreadable(error.line, error.why) from None
    history = processes.pairing.history()
    _absent_for_empty(history.operations)
    return history


def read_log(text: str) -> History:
    """Read Jepsen's text log: one register without a key.

    Raises:
        Unreadable: a line is none of a log, or no history.
    """
    processes = _Processes()
    for line, words in enumerate(text.splitlines(), 1):
        found = _LOG_LINE.fullmatch(words)
        if found is None:
            if words.strip() and not _OTHER_LOG_LINE.fullmatch(words):
                raise Unreadable(line, f"{words!r:.60} is no line of a Jepsen log")
            continue
        process, type_, op, rest = found.groups()
        if process == f":{_NEMESIS}":
            continue
        try:
            values = [value for _, value in forms(rest)]
        except BadEdn:
            values = []
        timed_out = bool(values) and isinstance(values[0], Keyword)
        tells = (op == "read" and type_ == "ok") or (op == "cas" and type_ == "fail")
        if tells and (not values or (timed_out and type_ == "ok")):
            raise Unreadable(line, f"{rest!r:.60} does not tell how the {op} went: the line may have been cut")
        event: Event = {"process": process, "type": type_, "f": op, "value": None if timed_out or not values else values[0]}
        if op == "cas" and type_ == "fail" and not timed_out:
            event["swapped"] = False  # the comparison failed, and that is an answer
        processes.take(_event(event, line), line)
    return processes.pairing.history()


@attrs.define
class _Processes:
    """Gives operations ids where there are none: a process has one at a time."""

    pairing: Pairing = attrs.Factory(Pairing)
    counts: dict[object, int] = attrs.Factory(dict)

    def take(self, event: Event, line: int) -> None:
        if "id" not in event:
            process = event.get("process")
            if not isinstance(process, int | str):
                raise Unreadable(line, f"process {process!r} is neither a number nor a name")
            if event["type"] == "invoke":
                self.counts[process] = self.counts.get(process, 0) + 1
            event["id"] = self.counts.get(process, 0)
        self.pairing.take(event, line)


def _event(item: dict[Any, Any], line: int) -> Event:
    """Return an event of ours."""
    type_, op = item.get("type"), item.get("f")
    if not (isinstance(type_, str) and isinstance(op, str) and type_ in _TYPES and op in _OPS):
        raise Unreadable(line, f":type {type_!r:.60} with :f {op!r:.60} is no event of a register or a store")
    event: Event = {str(name): value for name, value in item.items() if name not in {"type", "f", "index"}}
    event |= {"type": _TYPES[type_], "op": _OPS[op], "time": item.get("time")}
    value = event.setdefault("value", None)  # nil may be left out
    if "id" in event and "session" in event:  # one of ours: its process is a lane
        event["process"] = event.pop("session")
    if op == "cas" and isinstance(value, list):
        if len(value) != 2:  # noqa: PLR2004 - from and to
            raise Unreadable(line, f"a cas is [from to], not {value!r:.60}")
        event["expected"], event["value"] = value
    return event


def _absent_for_empty(operations: list[Operation]) -> None:
    """Take empty strings for absent keys where nobody puts one, or where values grow by appending."""
    appends = any(operation.kind == "append" for operation in operations)
    if not appends and any(operation.value == b"" for operation in operations):
        return
    for operation in operations:
        if operation.kind == "get" and operation.seen == b"":
            operation.seen = None
        if operation.kind in {"put", "cas"} and operation.value == b"":
            operation.value = None
        if operation.kind == "cas" and operation.expected == b"":
            operation.expected = None


@attrs.define
class _Lanes:
    """Gives each operation in flight a process that has no other one, the lowest free one of its session's."""

    free: dict[object, list[int]] = attrs.Factory(dict)  # {session: heap of its lanes that nothing is in flight on}
    taken: dict[tuple[object, object], int] = attrs.Factory(dict)  # {(session, id): lane}
    unused: count[int] = attrs.Factory(count)

    def lane(self, event: Event) -> int:
        """Return the lane of an event's operation; one whose outcome is unknown keeps its lane, since it may still be going on."""
        session, operation = event["process"], (event["process"], event["id"])
        if event["type"] == "invoke":
            free = self.free.setdefault(session, [])
            self.taken[operation] = lane = heapq.heappop(free) if free else next(self.unused)
            return lane
        lane = self.taken.pop(operation)
        if event["type"] != "unknown":
            heapq.heappush(self.free[session], lane)
        return lane


def edn_lines(events: Iterable[Event]) -> Iterable[str]:
    """Yield events of ours as EDN maps, a line each; each answer comes after its invocation."""
    types, lanes = {ours: theirs for theirs, ours in _TYPES.items()}, _Lanes()
    for index, event in enumerate(events):
        if event["type"] == BEFORE["type"]:
            yield written({"index": index, "type": Keyword("info"), "f": Keyword(PRIOR_STATE), "process": Keyword("nemesis"), "value": None})
            continue
        table = {"index": index, "type": Keyword(types[event["type"]]), "f": Keyword(event["op"]), "process": lanes.lane(event)}
        table["session"] = event["process"]
        table |= {name: _plain(name, value) for name, value in event.items() if name not in {"type", "op", "process"}}
        yield written(table)


def _plain(name: str, value: Any) -> Any:
    return Keyword(value) if name == "consistency" else value
