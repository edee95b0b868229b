"""Strict CBOR: one payload of bytes to lists of ints, floats, byte strings, text, true, false, null and lists.

CBOR (RFC 8949) can say far more than a frame needs, and what a decoder is willing to build is what a stranger may make it build: maps whose
keys collide, tags that become regular expressions, numbers or shared references, a million empty arrays in a megabyte.  cbor2 with its
strictest options still builds maps and arrays of any number before anybody can look at them, so here

* every tag is refused, whatever its number, before what it would make exists, and every map (in small payloads once its keys are read, which
  takes linear time: they may be strings only, whose hashes nobody can foresee);
* a payload too small to hold many items goes straight to cbor2, whose worst case is then bounded by the payload's size;
* a larger one is surveyed first: its heads are walked once, strings skipped whole, nothing built, and the number of items is bounded.
  A frame that large is mostly long values, so the walk is short; one that is mostly items is the attack.

Rejected: a decoder of our own (ten times slower than cbor2), ``cbor2.CBORDecoder`` over a stream, which would tell where the item ended (1.5
µs more a frame), and decoding again what was decoded, to compare (twice the cost).

Source: what each hazard costs is measured in tests/replica/test_wire_cbor.py.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn

import cbor2

if TYPE_CHECKING:
    from collections.abc import Mapping

INT_MAX = 2**63 - 1
"""The largest integer a frame may carry; what is counted in the protocol fits a signed 64-bit number everywhere."""

DEPTH_MAX = 8
"""Arrays in arrays, empty ones not counted; the deepest frame has payload, section, entries, entry, system, configuration, list of voters."""

UNSURVEYED_BYTES_MAX = 32 * 1024
"""A smaller payload is decoded without a survey: nothing that fits takes longer than some 10 ms or more than about 2.5 MiB."""

ARRAY_ITEMS = 8
"""An array costs as much to build as so many other items, even an empty one."""

_ANY_SIZE = 0
_ARRAY, _BYTES, _TEXT = 4, 2, 3


REASONS = {
    "malformed": "not one item of CBOR with definite lengths: truncated, garbage, reserved heads",
    "trailing_bytes": "bytes after the item",
    "map": "a map where only arrays may stand",
    "tag": "a tagged item",
    "too_deep": "arrays nested deeper than any frame needs",
    "too_many_items": "more items than `items_per_frame_max`",
    "too_many_sections": "more messages than `sections_per_frame_max`",
    "too_many_commands": "more rows than `commands_per_frame_max`",
    "not_a_frame": "no array that starts with an incarnation",
    "not_a_section": "a section that is no array that starts with a tag",
    "unknown_tag": "a tag that no message has",
    "wrong_field_count": "a section with too few or too many fields",
    "wrong_type": "another type than the field has, a boolean for an integer included",
    "wrong_shape": "a row, scan, cas or system command with a wrong number of items",
    "out_of_range": "an integer, number of seconds, token or run outside its range",
    "columns_disagree": "columns whose lengths do not fit each other or the counts",
    "unknown_kind": "a kind that no command has",
    "causal_cas": "a causal command that is not blind",
    "wrong_value": "a value without the shape of its command's kind",
    "key_too_long": "a key over 4096 bytes",
    "value_too_long": "a value over 1 MiB",
}
"""Every reason there is: ``{reason: what the bytes were}``."""


class WireError(Exception):
    """A peer or a client sent bytes that are no frame of this protocol: its link must be closed. The remote side is to blame.

    Attributes:
        reason: one machine word (``snake_case``), the same for the same fault; counters and refusals carry it.
        detail: what was wrong, for a person; never holds more than a few words of what was received.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """Keep both; ``reason`` is one of ``REASONS``."""
        assert reason in REASONS
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def parse(payload: bytes, items_max: int) -> Any:
    """Decode a payload that is exactly one CBOR item.

    Args:
        payload: the bytes of one frame.
        items_max: the most items a large payload may hold, all depths counted, an array as ``ARRAY_ITEMS`` more.

    Returns:
        The item. Undefined and simple values of a small payload come out as cbor2's own objects, a type that no field has.

    Raises:
        WireError: ``malformed``, ``trailing_bytes``, ``map``, ``tag``, ``too_deep`` or ``too_many_items``.
    """
    if len(payload) > UNSURVEYED_BYTES_MAX:
        survey(payload, items_max)
        return _loads(payload)
    # cbor2.loads stops silently where the first item ends. So two items are decoded, and the second must be ours.
    try:
        item, end = _loads(_PAIR + payload + _END)
    except WireError:
        survey(payload, items_max)  # names it without what stands behind it
        raise
    if end != _END_VALUE:
        survey(payload, items_max)
        raise WireError("trailing_bytes", "bytes after the payload's array")
    return item


def survey(payload: bytes, items_max: int) -> None:
    """Walk a payload's heads without building anything.

    Raises:
        WireError: as ``parse``, if the payload is not one definite item of arrays and plain values, or has over ``items_max`` items.
    """
    sizes = _SIZES
    at, left, items = 0, 1, 1
    above: list[int] = []  # what is left of the arrays around
    try:
        while True:
            while left:
                head = payload[at]
                left -= 1
                size = sizes[head]
                if size:
                    at += size
                    continue
                argument, at = _argument(payload, at)
                major = head >> 5
                if major != _ARRAY:
                    at += argument
                    continue
                items += argument + ARRAY_ITEMS
                if items > items_max:
                    raise WireError("too_many_items", f"more than {items_max} items")
                if not argument:
                    continue
                if len(above) == DEPTH_MAX:
                    raise WireError("too_deep", f"arrays nested deeper than {DEPTH_MAX}")
                alike = _alike(payload, at, argument)
                if alike:
                    at += alike
                    continue
                above.append(left)
                left = argument
            if not above:
                break
            left = above.pop()
    except IndexError:
        raise WireError("malformed", "the payload ends inside an item") from None
    if at > len(payload):
        raise WireError("malformed", "the payload ends inside an item")
    if at < len(payload):
        raise WireError("trailing_bytes", f"{len(payload) - at} bytes after the payload's array")


def _alike(payload: bytes, at: int, count: int) -> int:
    """Measure an array's content at once, if its items have equal heads and so equal sizes, as most columns' have.

    Returns:
        Its bytes; 0 if the items must be walked.
    """
    head = payload[at : at + 3]
    if not head:
        return 0
    size, width = _SIZES[head[0]], 1
    if not size and head[0] in _LENGTH_BYTES:
        width += _LENGTH_BYTES[head[0]]
        size = width + int.from_bytes(head[1:width])
    end = at + count * size
    return end - at if size and all(payload[at + place : end : size].count(head[place]) == count for place in range(min(width, len(head)))) else 0


def _argument(payload: bytes, at: int) -> tuple[int, int]:
    """Read the length in the head of a string or an array: the length, and where its content starts."""
    head = payload[at]
    major, short = head >> 5, head & 31
    if major not in {_BYTES, _TEXT, _ARRAY}:
        raise WireError(*_REFUSED_HEADS.get(major, ("malformed", "an undefined simple value")))
    if short < 24:  # noqa: PLR2004 - RFC 8949 section 3: the argument stands in the head itself
        return short, at + 1
    if short > 27:  # noqa: PLR2004 - the same: 28 to 30 are reserved, 31 is indefinite
        raise WireError("malformed", "an indefinite or reserved length")
    start = at + 1
    size = 1 << (short - 24)
    if start + size > len(payload):
        raise IndexError
    return int.from_bytes(payload[start : start + size]), start + size


_REFUSED_HEADS = {5: ("map", "a map where only arrays may stand"), 6: ("tag", "a tagged item")}


def _head_size(head: int) -> int:
    """How many bytes an item with this head has, if the head alone tells; else 0."""
    major, short = head >> 5, head & 31
    if major < _BYTES:  # integers
        return 1 if short < 24 else 1 + (1 << (short - 24)) if short < 28 else _ANY_SIZE  # noqa: PLR2004
    if major in {_BYTES, _TEXT} and short < 24:  # noqa: PLR2004
        return 1 + short
    return {0xF4: 1, 0xF5: 1, 0xF6: 1, 0xF9: 3, 0xFA: 5, 0xFB: 9}.get(head, _ANY_SIZE)  # false, true, null and the floats


_LENGTH_BYTES = {0x58: 1, 0x78: 1, 0x59: 2, 0x79: 2}
"""Heads of strings whose length is in the next byte or two."""
_SIZES = bytes(map(_head_size, range(256)))

_PAIR = b"\x82"
_END_VALUE = os.urandom(16)  # nobody can write it behind a frame of theirs
_END = cbor2.dumps(_END_VALUE)


def _refuse_tag(*_: object) -> NoReturn:
    raise WireError("tag", "a tagged item")


def _refuse_map(*_: object) -> NoReturn:
    raise WireError("map", "a map where only arrays may stand")


class _EveryTag(dict[int, Any]):
    """Answers for every tag number that its decoder is ``_refuse_tag``, so that no built-in decoder is ever asked."""

    def get(self, _tag: int, _default: Any = None) -> Any:
        return _refuse_tag

    def __getitem__(self, _tag: int) -> Any:
        return _refuse_tag

    def __contains__(self, _tag: object) -> bool:
        return True


_EVERY_TAG: Mapping[int, Any] = _EveryTag()


def _loads(data: bytes) -> Any:
    try:
        return cbor2.loads(
            data, tag_hook=_refuse_tag, object_hook=_refuse_map, semantic_decoders=_EVERY_TAG, max_depth=DEPTH_MAX + 1,
            allow_indefinite=False, allow_duplicate_keys=False, strict_hashable_types=True,
        )  # fmt: skip
    except cbor2.CBORDecodeError as error:
        raise WireError("malformed", str(error)[:120]) from None
