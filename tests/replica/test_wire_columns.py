"""Whole columns are judged at once, and one wrong item anywhere is found."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replica import wire_columns as columns
from replica.wire_cbor import INT_MAX, WireError
from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, DELETE, KEY_BYTES_MAX, PUT, VALUE_BYTES_MAX

NO_INT: list[Any] = [None, True, 1.0, "1", b"1", [1]]
NO_BYTES: list[Any] = [None, True, 1, 1.0, "text", []]
LONG_KEY = bytes(KEY_BYTES_MAX + 1)
LONG_VALUE = bytes(VALUE_BYTES_MAX + 1)
LARGE = VALUE_BYTES_MAX + 2
"""Bytes of a frame that can hold a value that is too long."""


def reason(judge: Any, *arguments: Any) -> str:
    with pytest.raises(WireError) as caught:
        judge(*arguments)
    return caught.value.reason


def anywhere(item: Any, *others: Any) -> list[list[Any]]:
    """The column of the others with the item at its start, in its middle and at its end."""
    return [[*others[:place], item, *others[place:]] for place in {0, len(others) // 2, len(others)}]


# -------------------------------------------------------------------------------------------------------------------------- integers


@pytest.mark.parametrize("ints", [[], [0], [INT_MAX], [0, INT_MAX, 7] * 100])
def test_integers_from_0_to_63_bits_pass(ints: list[int]) -> None:
    columns.check_ints(ints)


@pytest.mark.parametrize("wrong", NO_INT, ids=repr)
def test_what_is_no_integer_is_found_anywhere(wrong: Any) -> None:
    for others in (range(40), range(400)):
        assert {reason(columns.check_ints, ints) for ints in anywhere(wrong, *others)} == {"wrong_type"}


@pytest.mark.parametrize("wrong", [-1, INT_MAX + 1, -(2**64), 2**64 - 1])
def test_an_integer_out_of_range_is_found_anywhere(wrong: int) -> None:
    for others in (range(40), range(400)):
        assert {reason(columns.check_ints, ints) for ints in anywhere(wrong, *others)} == {"out_of_range"}


def test_a_replica_is_an_id_or_nobody() -> None:
    columns.check_replica(-1)
    columns.check_replica(5)
    for wrong in (-2, INT_MAX, 2**64 - 1):
        assert reason(columns.check_replica, wrong) == "out_of_range"


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([[1]], "wrong_shape"),
        ([[1, 2], [1, 2, 3]], "wrong_shape"),
        ([[1, 2], b"12"], "wrong_type"),
        ([[1, True]], "wrong_type"),
        ([[1, -1]], "out_of_range"),
    ],
)
def test_rows_have_their_width_and_hold_integers(rows: list[Any], why: str) -> None:
    assert reason(columns.check_int_rows, rows, 2) == why


def test_rows_are_counted() -> None:
    assert columns.check_int_rows([], 2) == 0
    assert columns.check_int_rows([[1, 2], [3, 4]], 2) == 2
    assert columns.check_placed([], 0) == 0
    assert columns.check_placed([[0, 1], [1, 0]], 2) == 2
    assert columns.check_numbered([]) == 0
    assert columns.check_numbered([[7, 9, 0]]) == 1


@pytest.mark.parametrize(
    ("judge", "rows", "why"),
    [
        (columns.check_numbered, [[7, 9]], "wrong_shape"),
        (columns.check_numbered, [[7, 9, 2]], "out_of_range"),
        (columns.check_numbered, [[7, 9, True]], "wrong_type"),
        (columns.check_numbered, [[7, 9, 0], [7, -9, 0]], "out_of_range"),
        (lambda rows: columns.check_placed(rows, 2), [[2, 0]], "out_of_range"),
        (lambda rows: columns.check_placed(rows, 2), [[1, 2]], "out_of_range"),
        (lambda rows: columns.check_placed(rows, 2), [[-1, 0]], "out_of_range"),
        (lambda rows: columns.check_placed(rows, 2), [[1, False]], "wrong_type"),
        (lambda rows: columns.check_placed(rows, 2), [[1]], "wrong_shape"),
        (lambda rows: columns.check_placed(rows, 2), [None], "wrong_type"),
    ],
)
def test_outcomes_are_0_or_1_in_their_rows(judge: Any, rows: list[Any], why: str) -> None:
    assert reason(judge, rows) == why


# --------------------------------------------------------------------------------------------------------------- seconds and tokens


def test_seconds_are_a_finite_number_above_0() -> None:
    columns.check_seconds(0.001, float)
    columns.check_seconds(3600, float, int)
    assert {reason(columns.check_seconds, wrong, float, int) for wrong in (None, True, "1", b"1", [1.0])} == {"wrong_type"}
    assert reason(columns.check_seconds, 3600, float) == "wrong_type"
    for wrong in (0, 0.0, -1, -0.5, float("inf"), float("-inf"), float("nan"), 2**64 - 1, 1e300):
        assert reason(columns.check_seconds, wrong, float, int) == "out_of_range"


def test_tokens_have_1_to_64_bytes() -> None:
    columns.check_tokens([])
    columns.check_tokens([b"1", bytes(64)])
    for wrong in NO_BYTES:
        assert {reason(columns.check_tokens, tokens) for tokens in anywhere(wrong, b"1", b"2")} == {"wrong_type"}
    for token in (b"", bytes(65)):
        assert {reason(columns.check_tokens, tokens) for tokens in anywhere(token, b"1", b"2")} == {"out_of_range"}


# ------------------------------------------------------------------------------------------------------------------- keys and values


def test_many_keys_may_be_longer_together_than_one_may_be() -> None:
    columns.check_keys([])
    columns.check_keys([b""])
    columns.check_keys([bytes(KEY_BYTES_MAX)] * 20)


@pytest.mark.parametrize("wrong", NO_BYTES, ids=repr)
def test_what_is_no_key_is_found_anywhere(wrong: Any) -> None:
    assert {reason(columns.check_keys, keys) for keys in anywhere(wrong, *[b"key"] * 9)} == {"wrong_type"}


def test_a_key_that_is_too_long_is_found_anywhere() -> None:
    assert {reason(columns.check_keys, keys) for keys in anywhere(LONG_KEY, *[b"key"] * 9)} == {"key_too_long"}


VALUES = {
    PUT: b"value", PUT | CAUSAL: b"", DELETE: None, DELETE | CAUSAL: None, CAS_VALUE: [None, b"new"], CAS_VERSION: [7, b"new"],
}  # fmt: skip


@given(st.lists(st.sampled_from(sorted(VALUES)), max_size=12))
def test_each_kind_has_a_value_of_its_shape(kinds: list[int]) -> None:
    values = [VALUES[kind] for kind in kinds]
    columns.check_values(bytes(kinds), values, 100)
    columns.check_values(bytes(kinds), values, LARGE)


@given(st.lists(st.sampled_from(sorted(VALUES)), max_size=12), st.sampled_from(sorted(VALUES)), st.data())
def test_a_value_of_another_shape_is_found_anywhere(kinds: list[int], kind: int, data: st.DataObject) -> None:
    wrong = data.draw(st.sampled_from([item for item in (None, b"value", [None, b"new"], 7, "text", True) if type(item) is not type(VALUES[kind])]))
    place = data.draw(st.integers(0, len(kinds)))
    values = [VALUES[kind] for kind in kinds]
    why = reason(columns.check_values, bytes([*kinds[:place], kind, *kinds[place:]]), [*values[:place], wrong, *values[place:]], 100)
    assert why == "wrong_value"


@pytest.mark.parametrize("kind", sorted(set(range(256)) - set(VALUES)))
def test_other_kinds_are_unknown(kind: int) -> None:
    why = "causal_cas" if kind & ~CAUSAL in {CAS_VALUE, CAS_VERSION} else "unknown_kind"
    assert reason(columns.check_values, bytes([PUT, kind, DELETE]), [b"", VALUES.get(kind & ~CAUSAL), None], 100) == why


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        (CAS_VALUE, [], "wrong_shape"),
        (CAS_VALUE, [None], "wrong_shape"),
        (CAS_VALUE, [None, b"", b""], "wrong_shape"),
        (CAS_VALUE, [7, b""], "wrong_value"),
        (CAS_VALUE, ["old", b""], "wrong_value"),
        (CAS_VALUE, [None, None], "wrong_value"),
        (CAS_VERSION, [None, b""], "wrong_type"),
        (CAS_VERSION, [b"old", b""], "wrong_type"),
        (CAS_VERSION, [True, b""], "wrong_type"),
        (CAS_VERSION, [-1, b""], "out_of_range"),
        (CAS_VERSION, [2**63, b""], "out_of_range"),
        (CAS_VERSION, [7, 8], "wrong_value"),
    ],
    ids=repr,
)
def test_a_cas_is_expected_and_new(kind: int, value: list[Any], why: str) -> None:
    kinds, values = [PUT, CAS_VALUE, CAS_VERSION, DELETE], [b"", [b"old", b"new"], [0, b"new"], None]
    for place in range(5):
        changed = bytes([*kinds[:place], kind, *kinds[place:]]), [*values[:place], value, *values[place:]]
        assert reason(columns.check_values, *changed, 100) == why


@pytest.mark.parametrize(
    ("kind", "value"), [(PUT, LONG_VALUE), (CAS_VALUE, [LONG_VALUE, b""]), (CAS_VALUE, [None, LONG_VALUE]), (CAS_VERSION, [1, LONG_VALUE])]
)
def test_a_value_that_is_too_long_is_found_wherever_it_stands(kind: int, value: Any) -> None:
    assert reason(columns.check_values, bytes([kind]), [value], LARGE) == "value_too_long"
    assert reason(columns.check_values, bytes([PUT, DELETE, kind]), [b"", None, value], LARGE) == "value_too_long"


# --------------------------------------------------------------------------------------------------------------- queries and answers


def test_queries_are_keys_and_scans() -> None:
    columns.check_queries([])
    columns.check_queries([b"key", bytes(KEY_BYTES_MAX)])
    columns.check_queries([b"key", [b"", None, 1], [b"a", b"b", INT_MAX]])


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (None, "wrong_type"),
        ("key", "wrong_type"),
        (7, "wrong_type"),
        (LONG_KEY, "key_too_long"),
        ([b"a", b"b"], "wrong_shape"),
        ([b"a", b"b", 1, 1], "wrong_shape"),
        ([None, b"b", 1], "wrong_type"),
        (["a", b"b", 1], "wrong_type"),
        ([b"a", "b", 1], "wrong_type"),
        ([LONG_KEY, None, 1], "key_too_long"),
        ([b"", LONG_KEY, 1], "key_too_long"),
        ([b"a", b"b", 0], "out_of_range"),
        ([b"a", b"b", -1], "out_of_range"),
        ([b"a", b"b", 2**63], "out_of_range"),
        ([b"a", b"b", True], "wrong_type"),
        ([b"a", b"b", None], "wrong_type"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_query_is_found_anywhere(query: Any, why: str) -> None:
    assert {reason(columns.check_queries, queries) for queries in anywhere(query, b"key", b"")} == {why}
    assert {reason(columns.check_queries, queries) for queries in anywhere(query, b"key", [b"", None, 1])} == {why}


def test_answers_are_values_nothing_and_pages() -> None:
    columns.check_answers([], 100)
    columns.check_answers([b"value", None, [[], False], [[[b"key", b"value", 7]], True]], 100)
    columns.check_answers([b"value", None, [[], False], [[[b"key", b"value", 7]], True]], LARGE)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (7, "wrong_type"),
        (True, "wrong_type"),
        ("value", "wrong_type"),
        (LONG_VALUE, "value_too_long"),
        ([], "wrong_shape"),
        ([[]], "wrong_shape"),
        ([[], False, 1], "wrong_shape"),
        ([[], 0], "wrong_type"),
        ([b"", False], "wrong_type"),
        ([None, False], "wrong_type"),
        ([[b"key"], False], "wrong_type"),
        ([[[b"key", b"value"]], False], "wrong_shape"),
        ([[["key", b"value", 7]], False], "wrong_type"),
        ([[[LONG_KEY, b"value", 7]], False], "key_too_long"),
        ([[[b"key", None, 7]], False], "wrong_value"),
        ([[[b"key", LONG_VALUE, 7]], False], "value_too_long"),
        ([[[b"key", b"value", -7]], False], "out_of_range"),
        ([[[b"key", b"value", True]], False], "wrong_type"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_answer_is_found_anywhere(answer: Any, why: str) -> None:
    assert {reason(columns.check_answers, answers, LARGE) for answers in anywhere(answer, b"value", None)} == {why}
    assert {reason(columns.check_answers, answers, LARGE) for answers in anywhere(answer, [[[b"key", b"value", 7]], True])} == {why}


# --------------------------------------------------------------------------------------------------------------------- system commands


CHANGE = [4, "ho", 2, [0, 1], [3], [[3, 1]], [2], [[3, b"host:7000"]]]


def test_system_commands_have_the_shape_of_their_kind() -> None:
    system = [[0, b"token", 30.0], [1, 5], [2, 5], [3], CHANGE, [5, 900]]
    assert columns.check_system(system) == 6
    assert columns.check_system([]) == 0


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (None, "wrong_type"),
        (b"\x03", "wrong_type"),
        ([], "wrong_type"),
        (["3"], "wrong_type"),
        ([True, 5], "wrong_type"),
        ([6], "wrong_shape"),
        ([-1, 1], "wrong_shape"),
        ([0, b"token"], "wrong_shape"),
        ([0, b"", 30.0], "out_of_range"),
        ([0, "token", 30.0], "wrong_type"),
        ([0, b"token", 30], "wrong_type"),
        ([0, b"token", -1.0], "out_of_range"),
        ([1], "wrong_shape"),
        ([1, 5, 6], "wrong_shape"),
        ([1, -5], "out_of_range"),
        ([2, True], "wrong_type"),
        ([3, 0], "wrong_shape"),
        ([5, 2**63], "out_of_range"),
        ([4], "wrong_type"),
        ([4, b"ho", *CHANGE[2:]], "wrong_type"),
        ([4, "ho"], "wrong_value"),
        ([4, "ho", 1.5, *CHANGE[3:]], "wrong_value"),
        ([*CHANGE, 1], "wrong_value"),
    ],
    ids=repr,
)
def test_what_is_no_system_command_is_found_anywhere(command: Any, why: str) -> None:
    assert {reason(columns.check_system, system) for system in anywhere(command, [3], [1, 5])} == {why}
