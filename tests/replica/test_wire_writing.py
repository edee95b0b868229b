"""What is written is what cbor2 would have written, in fewer steps: the same items, whatever a message holds."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replica import wire_writing
from replica.core import messages as m
from replica.wire import LAYOUTS, WireLimits, decode, encode
from replica.wire_cbor import INT_MAX
from replica.wire_writing import RUNS_MAX, write_integers, write_list, write_optional_strings, write_string, write_strings
from tests.replica.test_wire import messages

if TYPE_CHECKING:
    from replica.core.messages import Value
    from replica.wire_layout import Layout

BY_CLASS = {layout.message: layout for layout in LAYOUTS}
LONG = [1023, 1024, 1 << 16]
"""Lengths on both sides of what has its head in a table."""


def listed(section: Any) -> Any:
    """A section with its tuples (an entry's fields) as lists."""
    return [listed(item) for item in section] if isinstance(section, (list, tuple)) else section


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@given(data=st.data())
def test_a_section_holds_the_items_that_cbor2_would_write(layout: Layout, data: st.DataObject) -> None:
    message = data.draw(messages([layout]))
    section = layout.write(message)
    assert cbor2.loads(layout.encode(message)) == listed(section if layout.tag else section[1:])


@pytest.mark.parametrize("runs", [0, 1, 2, RUNS_MAX, RUNS_MAX + 1, 300])
def test_any_number_of_runs_is_written(runs: int) -> None:
    numbers = [INT_MAX - run for run in range(runs)]
    values: list[Value] = [b"" for _ in range(2 * runs)]
    for message in (
        m.Record(numbers, [1] * runs, [2] * runs, [0] * runs, [1] * runs, bytes(2 * runs), [b"key"] * 2 * runs, values),
        m.StrongReadReply(1, 2, True, 3, numbers, [1] * runs, [1] * runs, [None] * runs, numbers),
        m.RecordAck(1, 2, numbers, numbers, numbers, [[5, 1]]),
    ):
        assert decode(encode(INT_MAX, [message]), limits=WireLimits()) == (INT_MAX, [message])


def test_a_template_keeps_nothing_of_the_message_before() -> None:
    encode_applied = BY_CLASS[m.Applied].encode
    first = encode_applied(m.Applied(1, 2, True, 3, [4], [5], []))
    encode_applied(m.Applied(9, 9, False, 9, [9], [9], []))
    assert encode_applied(m.Applied(1, 2, True, 3, [4], [5], [])) == first


@pytest.mark.parametrize(
    "column", [[], [b""], [b"a", b"b"], [b"a", b"bc", b""], [b"a", [b"", None, 10]], [[b"a", b"b"]], [b"a", None, b"bc"], [None]]
)
@pytest.mark.parametrize("write", [write_strings, write_optional_strings])
def test_a_column_of_nearly_anything_is_written(write: Any, column: list[Any]) -> None:
    assert cbor2.loads(write(column)) == column


@pytest.mark.parametrize("length", LONG)
def test_long_strings_and_columns_are_written(length: int) -> None:
    string = bytes(length)
    assert cbor2.loads(write_string(string)) == string
    for column in ([string], [string, b"short"], [b""] * length, [b"a", b"bc"] * length):
        assert cbor2.loads(write_strings(column)) == column
        assert cbor2.loads(write_optional_strings([None, *column])) == [None, *column]
    numbers = list(range(length))
    assert cbor2.loads(write_integers(numbers)) == numbers


def test_lists_are_written() -> None:
    for items in ([], [[1, 2]], [[1, 2, 1]] * 40):
        assert cbor2.loads(write_list(items)) == items


def test_the_source_is_the_one_the_module_shows() -> None:
    shown = inspect.getdoc(wire_writing) or ""
    assert textwrap.indent(BY_CLASS[m.Applied].encode_source, "    ") in shown


def test_what_is_sent_for_every_command_is_compiled() -> None:
    often = [
        m.Record, m.StrongRead, m.Anchor, m.CausalRead, m.RecordAck, m.SpecReply, m.Applied, m.StrongReadReply, m.AnchorAck,
        m.CausalReadReply, m.Accept, m.AcceptAck, m.Entry,
    ]  # fmt: skip
    assert all(BY_CLASS[message].encode_source for message in often)
