"""Frames come out as they went in, however the stream was cut, and broken streams are named."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.errors import LocalMisuse
from transport.frame import (
    HEADER_BYTES,
    JOIN_BYTES_MAX,
    PREAMBLE,
    BadChecksum,
    BadPreamble,
    FrameDecoder,
    FrameError,
    FrameTooLarge,
    Truncated,
    encode,
)

PAYLOADS = st.lists(st.binary(max_size=300), max_size=12)


def stream(payloads: list[bytes]) -> bytes:
    return PREAMBLE + b"".join(b"".join(encode([payload])) for payload in payloads)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut a stream at these places (taken modulo its length) into chunks that are not empty."""
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(bounds)]


def decode(chunks: list[bytes], frame_bytes_max: int = 1000) -> tuple[list[bytes], str | None]:
    """Feed chunks until the end or an error: all payloads, and the error's reason."""
    decoder = FrameDecoder(frame_bytes_max)
    payloads: list[bytes] = []
    try:
        for chunk in chunks:
            payloads += decoder.feed(chunk)
        decoder.end()
    except FrameError as error:
        return payloads + error.frames, error.reason
    return payloads, None


def test_a_frame_is_length_checksum_payload() -> None:
    assert b"".join(encode([b"hel", b"lo"])) == struct.pack("<II", 5, zlib.crc32(b"hello")) + b"hello"


def test_small_frames_are_one_buffer_and_large_ones_are_not_copied() -> None:
    payload = bytes(JOIN_BYTES_MAX + 1)
    assert len(encode([b"x" * JOIN_BYTES_MAX])) == 1
    assert encode([payload])[1] is payload


def test_a_frame_over_the_limit_is_our_own_mistake() -> None:
    with pytest.raises(LocalMisuse, match="frame_bytes_max = 10"):
        encode([b"x" * 11], 10)


@given(PAYLOADS, st.lists(st.integers(min_value=0), max_size=20))
def test_any_cutting_gives_the_same_frames(payloads: list[bytes], places: list[int]) -> None:
    assert decode(cut(stream(payloads), places)) == (payloads, None)


def test_byte_by_byte() -> None:
    payloads = [b"", b"a", b"b" * 100]
    data = stream(payloads)
    assert decode([data[i : i + 1] for i in range(len(data))]) == (payloads, None)


@given(PAYLOADS, st.lists(st.integers(min_value=0), max_size=20), st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_any_cutting_finds_the_same_error(payloads: list[bytes], places: list[int], place: int, flip: int) -> None:
    """One wrong byte anywhere: whatever comes of it does not depend on the cutting, and no wrong payload is handed up."""
    data = bytearray(stream(payloads))
    data[place % len(data)] ^= flip
    whole = decode([bytes(data)])
    assert decode(cut(bytes(data), places)) == whole
    assert whole[0] == payloads[: len(whole[0])]


@given(st.binary(min_size=1, max_size=200), st.lists(st.integers(min_value=0), max_size=5))
def test_garbage_behind_the_preamble_never_raises_anything_else(garbage: bytes, places: list[int]) -> None:
    decode(cut(PREAMBLE + garbage, places))


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"T", b"TSK2"])
def test_a_stranger_is_known_by_the_first_wrong_byte(data: bytes) -> None:
    decoder = FrameDecoder()
    if PREAMBLE.startswith(data):
        assert decoder.feed(data) == []
        data = b"x"
    with pytest.raises(BadPreamble):
        decoder.feed(data)


def test_frames_before_an_error_are_handed_up_with_it() -> None:
    data = stream([b"one", b"two"]) + struct.pack("<II", 3, 0) + b"bad"
    with pytest.raises(BadChecksum) as caught:
        FrameDecoder().feed(data)
    assert caught.value.frames == [b"one", b"two"]


def test_a_large_frame_is_refused_by_its_header_alone() -> None:
    decoder = FrameDecoder(100)
    with pytest.raises(FrameTooLarge, match="101 bytes announced"):
        decoder.feed(PREAMBLE + struct.pack("<II", 101, 0))
    assert decoder.held_bytes == 0


def test_a_whole_frame_over_the_limit_is_refused_too() -> None:
    with pytest.raises(FrameTooLarge):
        FrameDecoder(100).feed(PREAMBLE + b"".join(encode([b"x" * 101])))


def test_after_an_error_the_stream_is_over() -> None:
    decoder = FrameDecoder()
    with pytest.raises(BadPreamble):
        decoder.feed(b"nope")
    with pytest.raises(BadPreamble) as again:
        decoder.feed(stream([b"fine"]))
    assert again.value.frames == []


@pytest.mark.parametrize("missing", [1, HEADER_BYTES, HEADER_BYTES + 4])
def test_an_end_inside_a_frame_is_truncated(missing: int) -> None:
    decoder = FrameDecoder()
    decoder.feed(stream([b"payload"])[:-missing])
    with pytest.raises(Truncated):
        decoder.end()


def test_an_end_between_frames_is_fine() -> None:
    decoder = FrameDecoder()
    decoder.feed(stream([b"payload"]))
    decoder.end()


def test_only_the_unfinished_frame_is_held() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(stream([b"x" * 500]) + struct.pack("<II", 900, 0) + b"y" * 10) == [b"x" * 500]
    assert decoder.held_bytes == HEADER_BYTES + 10


def test_the_limit_may_be_raised_when_the_other_side_is_known() -> None:
    decoder = FrameDecoder(10)
    assert decoder.feed(stream([b"hello"])) == [b"hello"]
    decoder.frame_bytes_max = 100
    assert decoder.feed(b"".join(encode([b"x" * 100]))) == [b"x" * 100]
