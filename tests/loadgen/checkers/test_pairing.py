"""What cannot be true is refused with its line, and never judged."""

from __future__ import annotations

from typing import Any

import pytest

from loadgen.checkers.operation import NEVER, Unreadable
from loadgen.checkers.pairing import BEFORE, paired

PUT: dict[str, Any] = {"type": "invoke", "process": 1, "id": 0, "time": 5, "op": "put", "key": "x", "value": "1", "number": 1}

CAS: dict[str, Any] = {**PUT, "op": "cas", "expected": "0"}
SCAN: dict[str, Any] = {"type": "invoke", "process": 1, "id": 0, "op": "scan", "key": "a", "end": "c", "limit": 2}
GET: dict[str, Any] = {"type": "invoke", "process": 1, "id": 0, "op": "get", "key": "a"}


def test_an_answer_finds_its_invocation() -> None:
    made = paired([PUT, {**PUT, "id": 1, "time": 6, "value": "2", "number": 2}, {**PUT, "type": "ok", "time": 7}])
    first, second = made.operations
    assert (first.invoked, first.returned, first.answered, first.invoked_at, first.returned_at) == (1, 3, True, 5, 7)
    assert (second.invoked, second.returned, second.answered, second.line) == (2, NEVER, False, 2)


def test_ids_may_be_each_processes_own() -> None:
    made = paired([PUT, {**PUT, "process": 2}, {**PUT, "process": 2, "type": "ok"}])
    assert [operation.answered for operation in made.operations] == [False, True]


def test_a_history_may_say_that_something_was_there_before() -> None:
    assert paired([PUT]).begins_empty
    made = paired([BEFORE, PUT])
    assert not made.begins_empty
    assert [operation.invoked for operation in made.operations] == [1]


def test_an_answer_need_not_repeat_what_was_asked() -> None:
    [operation] = paired([PUT, {"type": "ok", "process": 1, "id": 0}]).operations
    assert (operation.answered, operation.key, operation.value) == (True, b"x", b"1")
    told_how = {**PUT, "type": "unknown", "value": "timed out"}
    [operation] = paired([PUT, told_how]).operations
    assert (operation.answered, operation.value) == (False, b"1")


def test_keys_and_values_may_be_hexadecimal() -> None:
    [operation] = paired([{**PUT, "key": {"hex": "ff00"}, "value": {"hex": "01"}}]).operations
    assert (operation.key, operation.value) == (b"\xff\x00", b"\x01")


def test_outcomes_tell_failed_refused_and_unknown_apart() -> None:
    cas = {**PUT, "op": "cas", "expected": "0", "number": None}
    answers: list[dict[str, Any]] = [{"type": "ok"}, {"type": "fail"}, {"type": "fail", "swapped": False}, {"type": "unknown"}]
    events = [event for number, answer in enumerate(answers) for event in ({**cas, "id": number}, {**cas, "id": number} | answer)]
    assert [(each.answered, each.failed, each.refused, each.returned == NEVER) for each in paired(events).operations] == [
        (True, False, False, False), (False, True, False, False), (False, True, True, False), (False, False, False, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("events", "line", "why"),
    [
        ([{**PUT, "type": "ok"}, PUT], 1, "returns before it is invoked"),
        ([PUT, {**PUT, "type": "ok"}, {**PUT, "type": "ok"}], 3, "returns before it is invoked, or a second time"),
        ([PUT, {**PUT, "type": "ok", "time": 4}], 2, "time 4 is before 5"),
        ([PUT, PUT], 2, "invoked twice"),
        ([PUT, {**PUT, "id": 1}], 2, "number 1 is no number of its own"),
        ([PUT, {**PUT, "type": "ok", "op": "get"}], 2, "a put is answered as 'get'"),
        ([{**PUT, "op": "increment"}], 1, "op 'increment'"),
        ([{**PUT, "type": "info"}], 1, "type 'info'"),
        ([{**PUT, "consistency": "eventual"}], 1, "consistency 'eventual'"),
        ([{**PUT, "value": None}], 1, "put needs a value"),
        ([{**PUT, "value": ["1"]}], 1, "neither text nor"),
        ([{**PUT, "value": {"hex": "xyz"}}], 1, "not hexadecimal"),
        ([{**PUT, "time": "now"}], 1, "time 'now'"),
        ([{**PUT, "op": []}], 1, "op "),
        ([{**PUT, "op": "cas", "version": "1"}], 1, "version '1' is no whole number"),
        ([{**PUT, "process": []}], 1, "neither a number nor text"),
        ([{key: value for key, value in PUT.items() if key != "id"}], 1, "needs 'id'"),
        ([PUT, BEFORE], 2, "told behind what came after it"),
        ([BEFORE | {"state": "empty?"}], 1, "state 'empty[?]'"),
        ([PUT, {**PUT, "type": "ok", "key": "y"}], 2, "another key, 'y', than the put in line 1"),
        ([PUT, {**PUT, "type": "unknown", "key": "y"}], 2, "another key"),
        ([PUT, {**PUT, "type": "ok", "value": "2"}], 2, "another value, '2'"),
        ([PUT, {**PUT, "type": "ok", "consistency": "causal"}], 2, "another consistency, 'causal'"),
        ([PUT, {**PUT, "type": "ok", "number": 2}], 2, "another number, 2"),
        ([PUT, {**PUT, "type": "ok", "version": "x"}], 2, "version 'x' is no whole number"),
        ([CAS, {**CAS, "type": "ok", "expected": "3"}], 2, "another expected, '3'"),
        ([CAS | {"expected": None, "version": 4}, {**CAS, "expected": None, "type": "ok", "version": 5}], 2, "another version, 5"),
        ([{**CAS, "consistency": "causal"}], 1, "cas is always strong"),
        ([{**SCAN, "limit": -1}], 1, "limit -1 is no whole number from 0"),
        ([{**SCAN, "end": 5}], 1, "a scan's end is a key"),
        ([SCAN, {**SCAN, "type": "ok", "limit": 3}], 2, "another limit, 3"),
        ([SCAN, {**SCAN, "type": "ok", "end": "d"}], 2, "another end, 'd'"),
        ([SCAN, {**SCAN, "type": "ok", "value": [["a", "1", "new"]]}], 2, "version 'new' is no whole number"),
        ([SCAN, {**SCAN, "type": "ok", "value": [["a", None, 1]]}], 2, "a list of"),
        ([SCAN, {**SCAN, "type": "ok", "value": [["0", "1", 1]]}], 2, "key 0 is not between a and c"),
        ([SCAN, {**SCAN, "type": "ok", "value": [["c", "1", 1]]}], 2, "key c is not between a and c: nobody asked for that in line 1"),
        ([SCAN, {**SCAN, "type": "ok", "value": [["b", "1", 1], ["a", "1", 1]]}], 2, "do not ascend"),
        ([SCAN, {**SCAN, "type": "ok", "value": [["a", "1", 1], ["a", "2", 2]]}], 2, "do not ascend"),
        ([SCAN, {**SCAN, "type": "ok", "value": [["a", "1", 1], ["b", "1", 1], ["bb", "1", 1]]}], 2, "3 rows where the limit is 2"),
        ([SCAN, {**SCAN, "type": "ok", "value": [], "more": True}], 2, "no row"),
        ([SCAN, {**SCAN, "type": "ok", "value": [], "more": "0"}], 2, "more from key 0 on"),
        ([SCAN, {**SCAN, "type": "ok", "value": [["b", "1", 1]], "more": "b"}], 2, "more from key b on"),
        ([SCAN, {**SCAN, "type": "ok", "value": [["b", "1", 1]], "more": "d"}], 2, "more from key d on"),
        ([SCAN, {**SCAN, "type": "ok"}], 2, "scan in line 1 is answered without a value"),
        ([GET, {**GET, "type": "ok", "version": 3}], 2, "get in line 1 is answered without a value"),
        ([{**PUT, "time": 10**400}], 1, "time is more than"),
        ([GET, {**GET, "type": "ok", "value": "1", "version": -3}], 2, "version -3 is no whole number"),
    ],
)
def test_what_cannot_be_is_unreadable(events: list[dict[str, Any]], line: int, why: str) -> None:
    with pytest.raises(Unreadable, match=why) as refused:
        paired(events)
    assert refused.value.line == line


def test_a_scan_s_page_is_taken_with_where_it_ends() -> None:
    scan = {"type": "invoke", "process": 1, "id": 0, "op": "scan", "key": "a", "end": None, "limit": 2}
    for more, told in ((True, True), (False, False), ("c", b"c"), ({"hex": "6100"}, b"a\0")):
        [operation] = paired([scan, {**scan, "type": "ok", "value": [["a", "1", 4]], "more": more}]).operations
        assert (operation.rows, operation.more) == (((b"a", b"1", 4),), told)
    for more, told in ((False, False), ("c", b"c"), ("a", b"a")):  # all that was there may be deleted
        [operation] = paired([scan | {"end": "c"}, {**scan, "type": "ok", "value": [], "more": more, "end": "c"}]).operations
        assert (operation.rows, operation.more) == ((), told)
    with pytest.raises(Unreadable, match="list of"):
        paired([scan, {**scan, "type": "ok", "value": [["a"]]}])
