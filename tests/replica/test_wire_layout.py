"""The function that judges a section is the one a person would have written."""

from __future__ import annotations

import inspect
import textwrap

import attrs
import pytest

from replica import wire_layout
from replica.core import messages as m
from replica.wire_cbor import WireError
from replica.wire_columns import Field
from replica.wire_layout import Layout

PING = Layout(10, m.Ping, [Field.INT])
READ = Layout(6, m.StrongRead, [Field.INTS, Field.INTS, Field.COUNTS, Field.INTS, Field.QUERIES])


def test_the_source_is_the_one_the_module_shows() -> None:
    shown = inspect.getdoc(wire_layout) or ""
    assert textwrap.indent(READ.source, "    ") in shown


def test_fields_keep_the_order_of_the_class() -> None:
    assert list(READ.fields) == [field.name for field in attrs.fields(m.StrongRead)]
    assert READ.fields["counts"] is Field.COUNTS


def test_a_layout_names_every_field_of_its_class() -> None:
    with pytest.raises(ValueError, match="zip"):
        Layout(10, m.Ping, [Field.INT, Field.INT])
    with pytest.raises(ValueError, match="zip"):
        Layout(10, m.Ping, [])


def test_what_is_written_is_read_again() -> None:
    sent = m.StrongRead([5, 6], [1, 1], [1, 2], [0, 0], [b"a", b"b", [b"", None, 10]])
    section = READ.write(sent)
    assert section == [6, [5, 6], [1, 1], [1, 2], [0, 0], [b"a", b"b", [b"", None, 10]]]
    assert READ.read(section, 100) == (sent, 3)
    assert PING.write(m.Ping(7)) == [10, 7]
    assert PING.read([10, 7], 100) == (m.Ping(7), 0)


def test_columns_are_handed_on_and_not_copied() -> None:
    section = READ.write(m.StrongRead([5], [1], [1], [0], [b"key"]))
    message, _ = READ.read(section, 100)
    assert message.queries is section[5]


def test_nested_sections_have_no_tag_and_count_one_more_each() -> None:
    fields = [Field.INTS, Field.INTS, Field.COUNTS, Field.INTS, Field.INTS, Field.KINDS, Field.KEYS, Field.VALUES]
    outer = Layout(23, m.Forward, [Field.RECORD], Layout(5, m.Record, fields))
    sent = m.Forward(m.Record([5], [1], [2], [0], [1], bytes(2), [b"a", b"b"], [b"", b""]))
    section = outer.write(sent)
    assert section == [23, ([5], [1], [2], [0], [1], bytes(2), [b"a", b"b"], [b"", b""])]
    assert outer.read([23, list(section[1])], 100) == (sent, 3)
    assert len(section) == 2


def test_a_name_that_means_something_else_in_the_source_is_a_bug() -> None:
    @attrs.define
    class Bad:
        total: int

    with pytest.raises(AssertionError):
        Layout(99, Bad, [Field.INT])


@pytest.mark.parametrize(
    ("section", "why"), [([10], "wrong_field_count"), ([10, 1, 2], "wrong_field_count"), ([10, "1"], "wrong_type"), ([10, True], "wrong_type")]
)
def test_the_refusal_says_what_the_field_is(section: list[object], why: str) -> None:
    with pytest.raises(WireError) as caught:
        PING.read(section, 100)
    assert caught.value.reason == why
    if why == "wrong_type":
        assert caught.value.detail == "nonce must be an integer"
