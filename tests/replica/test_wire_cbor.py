"""One item of plain CBOR comes out; whatever else the bytes are, they are refused by name, quickly and without building what they ask for."""

from __future__ import annotations

import gc
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replica.core.messages import Message, Record
from replica.wire import WireLimits, decode, encode
from replica.wire_cbor import ARRAY_ITEMS, DEPTH_MAX, REASONS, UNSURVEYED_BYTES_MAX, WireError, parse, survey

if TYPE_CHECKING:
    from collections.abc import Iterator

ITEMS = 10_000
LONG = bytes(UNSURVEYED_BYTES_MAX)  # one long string makes a payload large
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats(allow_nan=False) | st.binary(max_size=300) | st.text(max_size=300),
    lambda items: st.lists(items, max_size=30),
    max_leaves=60,
)


def head(major: int, argument: int) -> bytes:
    return bytes([major << 5 | 27]) + argument.to_bytes(8)


def reason(payload: bytes, items_max: int = ITEMS) -> str:
    with pytest.raises(WireError) as caught:
        parse(payload, items_max)
    return caught.value.reason


def large(item: bytes) -> bytes:
    """The array of a long string and an item: it is surveyed."""
    return b"\x82" + cbor2.dumps(LONG) + item


# -------------------------------------------------------------------------------------------------------------------- plain payloads


@given(PLAIN)
def test_plain_items_come_out_as_they_went_in(item: Any) -> None:
    assert parse(cbor2.dumps(item), ITEMS) == item
    assert parse(large(cbor2.dumps(item)), ITEMS) == [LONG, item]


@given(PLAIN)
def test_the_survey_takes_what_cbor2_takes_and_counts_its_items(item: Any) -> None:
    def count(item: Any) -> int:
        return 1 + ARRAY_ITEMS + sum(map(count, item)) if isinstance(item, list) else 1

    payload = cbor2.dumps(item)
    survey(payload, count(item))
    if isinstance(item, list) and item:
        with pytest.raises(WireError, match="too_many_items"):
            survey(payload, count(item) - 1)


@given(PLAIN)
def test_a_truncated_payload_is_malformed(item: Any) -> None:
    payload = cbor2.dumps(item)
    for end in range(len(payload)):
        assert reason(payload[:end]) == "malformed"
        with pytest.raises(WireError, match="malformed"):
            survey(payload[:end], ITEMS)


@given(st.binary(max_size=200))
def test_any_bytes_end_as_an_item_or_a_named_refusal(payload: bytes) -> None:
    for judge in (parse, survey):
        try:
            judge(payload, ITEMS)
        except WireError as error:
            assert error.reason in REASONS  # noqa: PT017 - either way is fine, no other exception is


@given(st.binary(max_size=60))
def test_a_small_payload_is_refused_too_if_the_survey_finds_a_map_a_tag_or_bytes_behind_its_end(tail: bytes) -> None:
    """The survey looks at small payloads only once cbor2 has refused them, which must not take what is refused in large ones."""
    try:
        survey(tail, ITEMS)
    except WireError as refused:
        if refused.reason in {"map", "tag", "trailing_bytes"}:
            assert reason(tail) in REASONS


# ---------------------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("wrap", [bytes, large], ids=["small", "large"])
@pytest.mark.parametrize(
    ("item", "why"),
    [
        (b"\xa0", "map"),
        (b"\xa1\x61a\x00", "map"),
        (b"\xbf\xff", "map malformed"),
        (b"\x9f\xff", "malformed"),
        (b"\x5f\x41a\xff", "malformed"),
        (b"\x7f\x61a\xff", "malformed"),
        (b"\xff", "malformed"),
        (b"\x1c", "malformed"),
        (b"\x9c", "malformed"),
        (b"\x5d", "malformed"),
        (b"\x61\xff", "malformed"),
        (b"\xf8\x05", "malformed"),
        (b"\x81" * (DEPTH_MAX + 1) + b"\x00", "too_deep"),
        (b"\xc2\x41\x01", "tag"),
        (b"\xd9\xd9\xf7\x00", "tag"),
    ],
    ids=lambda value: value.hex() if isinstance(value, bytes) else value,
)
def test_what_is_not_plain_is_refused_by_name(wrap: Any, item: bytes, why: str) -> None:
    assert reason(wrap(item)) in why.split()


@pytest.mark.parametrize(
    ("item", "why"),
    [(b"\x81" * DEPTH_MAX + b"\x81\x00", "too_deep"), (b"\x5c" + bytes(16), "malformed"), (b"\x9e" + bytes(64), "malformed"), (b"\xe5", "malformed")],
    ids=lambda value: value.hex() if isinstance(value, bytes) else value,
)
def test_the_survey_refuses_it_before_cbor2_does(item: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        survey(item, ITEMS)


@pytest.mark.parametrize("wrap", [bytes, large], ids=["small", "large"])
def test_every_tag_is_refused_before_it_does_anything(wrap: Any) -> None:
    contents = [b"\x00", b"\x41\x01", b"\x61a", b"\x80", b"\x82\x01\x01", b"\xf6", b"\x60"]
    tags = [*range(300), 1001, 1004, 43000, 55799, 2**16, 2**32, 2**64 - 1]
    for tag in tags if wrap is bytes else tags[:50]:
        for content in contents:
            assert reason(wrap(head(6, tag) + content)) == "tag"


@pytest.mark.parametrize("behind", [b"\x00", b"\xff", b"\x80", bytes(1000), b"\x82\x00"])
def test_bytes_behind_the_item_are_refused(behind: bytes) -> None:
    assert reason(b"\x81\x00" + behind) == "trailing_bytes"
    assert reason(large(b"\x00") + behind) == "trailing_bytes"


def test_simple_values_are_refused_by_their_type_at_the_latest() -> None:
    for item in (b"\xe0", b"\xf3", b"\xf7", b"\xf8\x20", b"\xf8\xff"):
        assert reason(large(item)) == "malformed"
        with pytest.raises(WireError, match="wrong_type"):
            decode(b"\x82\x00\x82\x0a" + item, limits=WireLimits())


def test_the_deepest_frame_is_not_too_deep() -> None:
    deepest = b"\x81" * DEPTH_MAX + b"\x00"
    assert parse(deepest, ITEMS) == [[[[[[[[0]]]]]]]]
    assert parse(b"\x82" + cbor2.dumps(LONG) + deepest[1:], ITEMS)


# ------------------------------------------------------------------------------------------------------------------ hostile payloads

MERSENNE = 2**61 - 1  # Python's integers hash modulo this number
MEBIBYTE = 1 << 20


def map_of(keys: list[bytes]) -> bytes:
    return head(5, len(keys)) + b"".join(key + b"\x00" for key in keys)


def array_of(item: bytes, size: int) -> bytes:
    return head(4, size // len(item)) + item * (size // len(item))


def frame(item: bytes) -> bytes:
    """A frame whose only section is a ping for this."""
    return b"\x82\x00\x82\x0a" + item


ALLOWED = WireLimits().items_per_frame_max
SMALL = UNSURVEYED_BYTES_MAX - 64
HOSTILE = {
    "colliding integer keys": frame(map_of([head(0, n * MERSENNE % 2**64) for n in range(43_000)])),
    "colliding integer keys, small": frame(map_of([head(0, n * MERSENNE % 2**64) for n in range(SMALL // 10)])),
    "keys of bytes, small": frame(map_of([b"\x44" + n.to_bytes(4) for n in range(SMALL // 6)])),
    "nested maps, small": frame(b"\xa1\x40" * 60_000 + b"\x00"),
    "nesting, small": frame(b"\x81" * SMALL),
    "nesting": frame(b"\x81" * MEBIBYTE),
    "nested tags, small": frame(b"\xc1" * SMALL),
    "empty arrays, small": frame(array_of(b"\x80", SMALL)),
    "empty maps, small": frame(array_of(b"\xa0", SMALL)),
    "simple values, small": frame(array_of(b"\xe0", SMALL)),
    "half floats, small": frame(array_of(b"\xf9\x12\x34", SMALL)),
    "text, small": frame(array_of(b"\x61a", SMALL)),
    "empty arrays": frame(array_of(b"\x80", 8 * MEBIBYTE)),
    "small integers": frame(array_of(b"\x00", 8 * MEBIBYTE)),
    "empty arrays, as many as may be": frame(array_of(b"\x80", ALLOWED // 9 - 10)),
    "unlike integers, as many as may be": frame(head(4, ALLOWED - 40) + b"\x00\x18\x18" * (ALLOWED // 2 - 20)),
    "half floats, as many as may be": frame(array_of(b"\xf9\x12\x34", (ALLOWED - 40) * 3)),
    "strings, as many as may be": frame(array_of(b"\x42ab", (ALLOWED - 40) * 3)),
    "arrays of arrays, as many as may be": frame(array_of(b"\x83\x80\x80\x80", ALLOWED // 36 * 4 - 40)),
    "declared arrays": frame(b"\x9b" + b"\xff" * 8),
    "declared array in range": frame(head(4, 2**27)),
    "declared arrays in arrays": frame(head(4, 2**40) * 4),
    "declared bytes": frame(b"\x5b" + b"\xff" * 8),
    "declared text in range": frame(head(3, 2**30)),
    "declared map": frame(head(5, 2**30)),
    "declared array, large": large(head(4, 2**50)),
    "bignum": frame(b"\xc2" + cbor2.dumps(b"\xff" * 4 * MEBIBYTE)),
    "bignum, small": frame(b"\xc2" + cbor2.dumps(b"\xff" * SMALL)),
    "decimal with a huge exponent": frame(b"\xc4\x82" + head(0, 2**62) + b"\x01"),
    "bigfloat with a huge exponent": frame(b"\xc5\x82" + head(0, 2**40) + b"\x01"),
    "rational of bignums": frame(b"\xd8\x1e\x82" + (b"\xc2" + cbor2.dumps(b"\xff" * 60_000)) * 2),
    "regular expression": frame(cbor2.dumps(cbor2.CBORTag(35, "(a+)+" * 10_000))),
    "date": frame(cbor2.dumps(cbor2.CBORTag(0, "9" * 100_000))),
    "MIME message": frame(cbor2.dumps(cbor2.CBORTag(36, "a:b\n" * 30_000))),
    "shared reference to itself": frame(b"\xd8\x1c\x81\xd8\x1d\x00"),
    "string references": frame(b"\xd9\x01\x00" + head(4, 1000) + b"\x44long" + b"\xd8\x19\x00" * 999),
    "set": frame(b"\xd9\x01\x02" + array_of(b"\x1b\x1f\xff\xff\xff\xff\xff\xff\xff", SMALL)),
    "huge text": frame(cbor2.dumps("a" * 8 * MEBIBYTE)),
    "huge broken text": frame(head(3, 8 * MEBIBYTE) + b"\xff" * 8 * MEBIBYTE),
    "huge bytes": frame(cbor2.dumps(bytes(8 * MEBIBYTE))),
    "huge tail": frame(b"\x00") + bytes(8 * MEBIBYTE),
    "integers of a column, small": b"\x82\x00\x82\x03" + array_of(b"\x00", SMALL),
    "runs of nothing, small": b"\x82\x00\x86\x06\x80\x80" + array_of(b"\x00", SMALL) + b"\x80\x80",
    "sections, small": head(4, SMALL // 2) + b"\x00" + b"\x80" * (SMALL // 2 - 1),
    "pings, small": head(4, SMALL // 3 + 1) + b"\x00" + b"\x82\x0a\x00" * (SMALL // 3),
    "entries, small": b"\x82\x00\x88\x14\x01\x01\x00\x00\x00\x01" + array_of(b"\x80", SMALL),
    "scans of scans, small": b"\x82\x00\x86\x06\x81\x05\x81\x01\x81\x01\x81\x00\x81" + array_of(b"\x80", SMALL),
    "rows, small": b"\x82\x00\x88\x0d\x01\x01\x00\x80\x80\x80" + array_of(b"\x82\x00\x00", SMALL),
}  # fmt: skip


def seconds_to_refuse(payload: bytes) -> float:
    """The processor's time, whatever else the machine does."""
    start = time.thread_time()
    with pytest.raises(WireError):
        decode(payload, limits=WireLimits())
    return time.thread_time() - start


def slowness() -> float:
    """How many times longer than a free processor of the year 2020 this one takes now for a fixed piece of work; at least 1."""
    start = time.thread_time()
    total = 0
    for number in range(100_000):
        total += number
    return max(1.0, (time.thread_time() - start) / 0.006)


@pytest.fixture
def frozen() -> Iterator[None]:
    """What lives already costs a collection nothing, as in a running replica."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_frame_is_refused_within_50_ms(payload: bytes) -> None:
    assert min(seconds_to_refuse(payload) / slowness() for _ in range(3)) < 0.05


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_frame_costs_memory_in_proportion_to_its_size(payload: bytes) -> None:
    """A small one may become 80 times its size (2.5 MiB); a large one as many small items as may be (12 MiB), and its strings are copied."""
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            decode(payload, limits=WireLimits())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (80 * UNSURVEYED_BYTES_MAX if len(payload) <= UNSURVEYED_BYTES_MAX else 3.5 * len(payload) + 48 * ALLOWED)


def test_cbor2_alone_would_have_built_it() -> None:
    """The danger is real: what the survey refuses costs a decoder with the strictest options a hundred times the payload."""
    payload = array_of(b"\x80", MEBIBYTE // 8)
    tracemalloc.start()
    cbor2.loads(payload, allow_indefinite=False, strict_hashable_types=True, max_depth=9, allow_duplicate_keys=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak > 50 * len(payload)


def test_a_large_frame_of_values_is_surveyed_quickly() -> None:
    """Columns of equal keys and values are measured at once."""
    count = 8000
    sent: list[Message] = [Record([1], [1], [count], [0], [1], bytes(count), [b"%08d" % n for n in range(count)], [bytes(1000)] * count)]
    payload = encode(0, sent)
    start = time.thread_time()
    survey(payload, ALLOWED)
    assert time.thread_time() - start < 0.01
    assert decode(payload, limits=WireLimits()) == (0, sent)
