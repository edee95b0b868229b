"""Every message comes out of the codec as it went in, and no other payload comes out at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import attrs
import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replica.core import messages as m
from replica.wire import LAYOUTS, Layout, WireError, WireLimits, assemble, decode, encode, encode_section
from replica.wire_cbor import INT_MAX, REASONS, UNSURVEYED_BYTES_MAX
from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, DELETE, KEY_BYTES_MAX, PUT, VALUE_BYTES_MAX
from tests.fuzz.frames import SENT, make_message

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = WireLimits()
OTHERS: list[Any] = [None, True, 1, 1.5, b"bytes", "text", []]


class Drawn:
    """Choices by Hypothesis."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw

    def number(self, least: int, most: int) -> int:
        return int(self._draw(st.integers(least, most)))

    def blob(self, least: int, most: int) -> bytes:
        return bytes(self._draw(st.binary(min_size=least, max_size=most)))


@st.composite
def messages(draw: Callable[[st.SearchStrategy[Any]], Any], layouts: list[Layout]) -> Any:
    return make_message(draw(st.sampled_from(layouts)), Drawn(draw))


def reason(payload: bytes, limits: WireLimits = LIMITS) -> str:
    with pytest.raises(WireError) as caught:
        decode(payload, limits=limits)
    assert caught.value.reason in REASONS
    assert len(caught.value.detail) < 200
    return caught.value.reason


def reason_of(*section: Any) -> str:
    """Why a frame with this section is refused."""
    return reason(cbor2.dumps([0, section]))


def kinds_of_all(value: Any) -> Any:
    """The types of everything in a message: 1 == 1.0 == True, and the codec must keep them apart."""
    if isinstance(value, list):
        return [kinds_of_all(item) for item in value]
    return [kinds_of_all(item) for item in attrs.astuple(value, recurse=False)] if attrs.has(type(value)) else type(value)


# --------------------------------------------------------------------------------------------------------------------- round trips


def test_every_message_has_one_layout_and_a_tag_of_its_own() -> None:
    assert {layout.message for layout in LAYOUTS} == {*get_args(m.Message), m.Entry}
    assert [layout.tag for layout in LAYOUTS if layout.message is m.Entry] == [0]
    assert len({layout.tag for layout in LAYOUTS}) == len(LAYOUTS)


@pytest.mark.parametrize("layout", SENT, ids=lambda layout: layout.name)
@given(data=st.data())
@settings(max_examples=40)
def test_a_message_comes_out_as_it_went_in(layout: Layout, data: st.DataObject) -> None:
    message = data.draw(messages([layout]))
    incarnation = data.draw(st.integers(0, INT_MAX))
    came = decode(encode(incarnation, [message]), limits=LIMITS)
    assert came == (incarnation, [message])
    assert kinds_of_all(came[1][0]) == kinds_of_all(message)


@given(st.lists(messages(SENT), max_size=5))
@settings(max_examples=50)
def test_sections_encoded_once_make_the_same_payload_in_every_frame(sent: list[m.Message]) -> None:
    sections = [encode_section(message) for message in sent]
    for incarnation in (0, 23, 2**63 - 1):
        assert b"".join(assemble(incarnation, sections)) == encode(incarnation, sent)


@pytest.mark.parametrize("count", [0, 22, 23, 24, 254, 255, 256, 1000])
def test_a_frame_holds_any_number_of_sections_up_to_its_limit(count: int) -> None:
    sent: list[m.Message] = [m.Ping(nonce) for nonce in range(count)]
    payload = b"".join(assemble(7, [encode_section(message) for message in sent]))
    assert payload == encode(7, sent)
    assert decode(payload, limits=LIMITS) == (7, sent)


def test_assembling_copies_no_section() -> None:
    section = encode_section(m.Ping(1))
    assert all(part is section for part in assemble(1, [section, section])[1:])


def test_seconds_may_be_written_as_an_integer() -> None:
    _, [message] = decode(cbor2.dumps([0, [1, [b"token"], 10]]), limits=LIMITS)
    assert message == m.OpenSession([b"token"], 10.0)


def test_nobody_may_lead() -> None:
    sent = m.Leader(1, 2, -1)
    assert decode(encode(3, [sent]), limits=LIMITS) == (3, [sent])


def test_the_longest_key_and_value_pass() -> None:
    sent: list[m.Message] = [m.Record([1], [1], [1], [0], [1], bytes([PUT]), [b"k" * KEY_BYTES_MAX], [b"v" * VALUE_BYTES_MAX])]
    assert decode(encode(0, sent), limits=LIMITS) == (0, sent)


# -------------------------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "frame", [None, 7, "text", b"bytes", [], [None], [-1], [True], [2**63], [1.0], ["0"], [[]], {}], ids=repr
)  # fmt: skip
def test_a_frame_is_an_array_that_starts_with_an_incarnation(frame: Any) -> None:
    assert reason(cbor2.dumps(frame)) == ("map" if frame == {} else "not_a_frame")


@pytest.mark.parametrize("section", [None, 10, b"", "ping", [], ["10", 1], [True, 1], [10.0, 1], [[10], 1]], ids=repr)
def test_a_section_is_an_array_that_starts_with_a_tag(section: Any) -> None:
    assert reason(cbor2.dumps([0, section])) == "not_a_section"


@pytest.mark.parametrize("tag", [-1, 0, 99, 2**63])
def test_other_tags_are_unknown_and_an_entry_has_none(tag: int) -> None:
    assert reason_of(tag, 1) == "unknown_tag"


@pytest.mark.parametrize("layout", SENT, ids=lambda layout: layout.name)
@given(data=st.data())
@settings(max_examples=20)
def test_a_section_has_all_its_fields_and_no_more(layout: Layout, data: st.DataObject) -> None:
    section = layout.write(data.draw(messages([layout])))
    assert reason_of(*section[:-1]) == "wrong_field_count"
    assert reason_of(*section, 0) == "wrong_field_count"


@pytest.mark.parametrize("layout", SENT, ids=lambda layout: layout.name)
@given(data=st.data())
@settings(max_examples=20)
def test_no_field_takes_another_type(layout: Layout, data: st.DataObject) -> None:
    section = layout.write(data.draw(messages([layout])))
    for place in range(1, len(section)):
        present = type(section[place])
        number = {float, int} if present is float else {present}
        for other in OTHERS:
            if type(other) not in number and (other != [] or layout.name != "Forward"):  # whose tuple is an array too
                assert reason_of(*section[:place], other, *section[place + 1 :]) == "wrong_type"


@pytest.mark.parametrize("layout", SENT, ids=lambda layout: layout.name)
@given(data=st.data())
@settings(max_examples=20)
def test_no_column_takes_text_or_one_item_more(layout: Layout, data: st.DataObject) -> None:
    """Text stands in no column of a section itself, and columns of one length cannot grow alone."""
    section = layout.write(data.draw(messages([layout])))
    for place in range(1, len(section)):
        if isinstance(section[place], list):
            changed = [*section[:place], [*section[place], "text"], *section[place + 1 :]]
            assert reason_of(*changed) in {"wrong_type", "columns_disagree", "wrong_field_count", "wrong_value"}


@pytest.mark.parametrize("layout", SENT, ids=lambda layout: layout.name)
@given(data=st.data())
@settings(max_examples=20)
def test_integers_are_integers_in_range(layout: Layout, data: st.DataObject) -> None:
    section = layout.write(data.draw(messages([layout])))
    for place, (name, field) in enumerate(layout.fields.items(), 1):
        item = section[place]
        for wrong, why in ((-1, "out_of_range"), (2**63, "out_of_range"), (True, "wrong_type"), (1.0, "wrong_type"), (None, "wrong_type")):
            if type(item) is int and (wrong != -1 or field.name != "REPLICA"):
                assert reason_of(*section[:place], wrong, *section[place + 1 :]) == why, name
            elif field.name in {"INTS", "COUNTS", "VERSIONS"} and item:
                assert reason_of(*section[:place], [*item[:-1], wrong], *section[place + 1 :]) == why, name


def record(**changes: Any) -> list[Any]:
    """The section of a Record of two runs and three puts, with some fields changed."""
    fields = {
        "sessions": [5, 6], "firsts": [1, 9], "counts": [2, 1], "previous": [0, 8], "incomplete": [1, 9],
        "kinds": bytes(3), "keys": [b"a", b"b", b"c"], "values": [b"x", b"y", b"z"],
    }  # fmt: skip
    return [5, *(fields | changes).values()]


def test_the_record_of_these_tests_is_fine() -> None:
    assert decode(cbor2.dumps([0, record()]), limits=LIMITS)[1][0] == m.Record(*record()[1:])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sessions": [5]}, "columns_disagree"),
        ({"incomplete": [1, 9, 9]}, "columns_disagree"),
        ({"counts": [2, 2]}, "columns_disagree"),
        ({"counts": [1, 1]}, "columns_disagree"),
        ({"counts": [3, 0]}, "out_of_range"),
        ({"counts": [2**62, 2**62]}, "columns_disagree"),
        ({"firsts": [INT_MAX, 9]}, "out_of_range"),
        ({"firsts": [1, 2**63]}, "out_of_range"),
        ({"kinds": bytes(2)}, "columns_disagree"),
        ({"keys": [b"a", b"b"]}, "columns_disagree"),
        ({"values": [b"x", b"y", b"z", b"w"]}, "columns_disagree"),
        ({"keys": [b"a", b"b", "c"]}, "wrong_type"),
        ({"keys": [b"a", b"b", None]}, "wrong_type"),
        ({"keys": [b"a", b"b", b"c" * (KEY_BYTES_MAX + 1)]}, "key_too_long"),
        ({"values": [b"x", b"y", b"z" * (VALUE_BYTES_MAX + 1)]}, "value_too_long"),
        ({"values": [b"x", b"y", None]}, "wrong_value"),
        ({"kinds": bytes([PUT, DELETE, PUT])}, "wrong_value"),
        ({"kinds": bytes([PUT, 4, PUT])}, "unknown_kind"),
        ({"kinds": bytes([PUT, 0x40, PUT])}, "unknown_kind"),
        ({"kinds": bytes([PUT, CAS_VALUE | CAUSAL, PUT])}, "causal_cas"),
        ({"kinds": bytes([PUT, CAS_VERSION | CAUSAL, PUT])}, "causal_cas"),
        ({"kinds": bytes([PUT, CAS_VERSION, PUT]), "values": [b"", [-1, b""], b""]}, "out_of_range"),
    ],
    ids=str,
)
def test_a_record_that_is_not_fine_is_refused(changes: dict[str, Any], why: str) -> None:
    assert reason_of(*record(**changes)) == why
    entry = [1, 1, 0, [], *record(**changes)[1:4], *record(**changes)[5:]]
    if "incomplete" not in changes:
        assert reason_of(20, 1, 1, 0, 0, 0, 1, [entry]) == why
    assert reason_of(23, record(**changes)[1:]) == why


def test_a_run_may_end_with_the_largest_number() -> None:
    """And so may each part of it: a replica that passes on what it took is never refused."""
    for firsts in ([INT_MAX - 1, INT_MAX], [2**62, 2**62 + 1]):
        assert decode(cbor2.dumps([0, record(firsts=firsts)]), limits=LIMITS)


def test_a_read_and_its_replies_have_as_many_places_as_their_runs() -> None:
    assert reason_of(6, [5], [1], [2], [0], [b"key"]) == "columns_disagree"
    assert reason_of(15, 1, 1, False, 0, [5], [1], [2], [None], [0, 0]) == "columns_disagree"
    assert reason_of(15, 1, 1, False, 0, [5], [1], [2], [None, None], [0]) == "columns_disagree"
    assert reason_of(17, 1, 0, [5], [1], [1], [], [None], [0], []) == "columns_disagree"


def test_results_stand_for_places_that_there_are() -> None:
    assert decode(cbor2.dumps([0, [13, 1, 1, 0, [5], [1], [2], [[1, 1]]]]), limits=LIMITS)
    assert reason_of(13, 1, 1, 0, [5], [1], [2], [[2, 1]]) == "out_of_range"
    assert reason_of(13, 1, 1, 0, [5], [1], [2], [[1, 2]]) == "out_of_range"
    assert reason_of(14, 1, 1, True, 9, [5], [1], [[5, 1, 2]]) == "out_of_range"


def test_what_only_some_sections_carry_is_judged() -> None:
    assert reason_of(1, [b"token"], 0) == "out_of_range"
    assert reason_of(1, [b""], 1.0) == "out_of_range"
    assert reason_of(6, [5], [1], [1], [0], [[b"", None, 0]]) == "out_of_range"
    assert reason_of(12, 1, 1, [], [], [], [[5]]) == "wrong_shape"
    assert reason_of(15, 1, 1, False, 0, [5], [1], [1], [[[], 0]], [0]) == "wrong_type"
    assert reason_of(17, 1, 0, [], [], [], [], [], [], [[5, 1]]) == "wrong_shape"
    assert reason_of(18, 1, 1, -2) == "out_of_range"
    assert reason_of(20, 1, 1, 0, 0, 0, 1, [[1, 1, 0, [[9]], [], [], [], [], b"", [], []]]) == "wrong_shape"


@pytest.mark.parametrize("entry", [None, {"index": 1}, b"", [1, 1, 0]], ids=repr)
def test_an_entry_is_an_array_of_its_fields(entry: Any) -> None:
    assert reason_of(20, 1, 1, 0, 0, 0, 1, [entry]) in {"wrong_type", "wrong_field_count", "map"}


def test_the_detail_names_the_message() -> None:
    with pytest.raises(WireError, match="Ping"):
        decode(cbor2.dumps([0, [10, -1]]), limits=LIMITS)


# ---------------------------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    "sent",
    [
        [m.Record([1], [1], [10], [0], [1], bytes(10), [b"k"] * 10, [b"v"] * 10)],
        [m.CausalRead([1], [1], [5], [0], [b"k"] * 5), m.StrongRead([1], [1], [5], [0], [b"k"] * 5)],
        [m.KeepAlive([1] * 10)],
        [m.OpenSession([b"t"] * 10, 1.0)],
        [m.SpecReply(1, 1, 9, [1], [1], [8], [[0, 1], [1, 1]])],
        [m.CausalReadReply(1, 0, [], [], [], [], [], [], [[1, 1, 1]] * 10)],
        [m.Accept(1, 1, 0, 0, 0, 1, [m.Entry(1, 1, 0, [[3]], [1], [1], [8], [1], bytes(8), [b"k"] * 8, [b"v"] * 8)])],
        [m.Accept(1, 1, 0, 0, 0, 1, [m.Entry(1, 1, 0, [], [], [], [], [], b"", [], [])] * 10)],
        [m.Forward(m.Record([1], [1], [9], [0], [1], bytes(9), [b"k"] * 9, [b"v"] * 9))],
    ],
    ids=lambda sent: type(sent[0]).__name__,
)  # fmt: skip
def test_rows_of_all_sections_count_as_commands(sent: list[m.Message]) -> None:
    payload = encode(0, sent)
    assert decode(payload, limits=WireLimits(commands_per_frame_max=10)) == (0, sent)
    assert reason(payload, WireLimits(commands_per_frame_max=9)) == "too_many_commands"


def test_sections_are_limited() -> None:
    payload = encode(0, [m.Ping(1)] * 4)
    assert decode(payload, limits=WireLimits(sections_per_frame_max=4))
    assert reason(payload, WireLimits(sections_per_frame_max=3)) == "too_many_sections"


def test_items_of_a_large_frame_are_limited() -> None:
    payload = encode(0, [m.KeepAlive([2**40] * 16_000)])
    assert len(payload) > UNSURVEYED_BYTES_MAX
    assert decode(payload, limits=WireLimits(items_per_frame_max=16_030))
    assert reason(payload, WireLimits(items_per_frame_max=16_000)) == "too_many_items"
