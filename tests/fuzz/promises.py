"""What must hold for any bytes at all."""

from __future__ import annotations

import itertools
from contextlib import suppress

from replica.hello import Hello, HelloError, decode_hello, encode_hello
from replica.wire import WireError, WireLimits, decode, encode
from replica.wire_cbor import REASONS, survey
from transport.frame import HEADER_BYTES, FrameDecoder, FrameError

FRAME_BYTES_MAX = 4096
LIMITS = WireLimits(commands_per_frame_max=1000, sections_per_frame_max=50, items_per_frame_max=20_000)


def judge(payload: bytes) -> str:
    """Give the payload to every decoder that meets a stranger's bytes.

    Returns:
        ``taken``, or the reason of the frame decoder's refusal.

    Raises:
        AssertionError: a promise is broken; so is one by whatever else comes out.
    """
    with suppress(HelloError):
        decode_hello(payload)
    surveyed = "taken"
    try:
        survey(payload, LIMITS.items_per_frame_max)
    except WireError as error:
        surveyed = error.reason
    try:
        incarnation, messages = decode(payload, limits=LIMITS)
    except WireError as error:
        return _fit_to_be_told(error)
    assert surveyed == "taken", f"taken, though the survey says {surveyed}"
    again = encode(incarnation, messages)
    assert decode(again, limits=LIMITS) == (incarnation, messages), "not the same when encoded and decoded again"
    return "taken"


def _fit_to_be_told(error: WireError) -> str:
    """The reason labels a counter, and the detail goes into the log: neither is the stranger's to choose."""
    assert error.reason in REASONS
    assert len(error.detail) < 300
    return error.reason


def judge_hello(payload: bytes) -> str:
    """Give the payload to the reader of hellos alone; what it takes is the same when encoded and decoded again.

    Returns:
        ``taken``, or the reason of the refusal.
    """
    try:
        hello = decode_hello(payload)
    except HelloError as error:
        return error.reason if not error.told else "refusal"
    assert isinstance(hello, Hello)
    assert decode_hello(encode_hello(hello)) == hello
    return "taken"


def judge_frames(stream: bytes) -> str:
    """Give a stream to the frame decoder, in one piece and cut in several ways: the frames and the error are the same, and little is held.

    Returns:
        ``taken``, or the reason of the error.
    """
    whole = _decoded(stream, [])
    size = len(stream)
    cuts = ([size // 2], [1, 2, 3, 4, 5], sorted({(place * 7919) % (size + 1) for place in range(9)}))
    for some in cuts:
        assert _decoded(stream, some) == whole, f"not the same when cut at {some}"
    return whole[1]


def _decoded(stream: bytes, cuts: list[int]) -> tuple[list[bytes], str]:
    decoder = FrameDecoder(FRAME_BYTES_MAX)
    frames: list[bytes] = []
    places = [0, *cuts, len(stream)]
    try:
        for low, high in itertools.pairwise(places):
            if low < high:
                frames += decoder.feed(stream[low:high])
            assert decoder.held_bytes <= FRAME_BYTES_MAX + HEADER_BYTES
        decoder.end()
    except FrameError as error:
        return frames + error.frames, error.reason
    return frames, "taken"
