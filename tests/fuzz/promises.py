"""What must hold for any bytes at all."""

from __future__ import annotations

from contextlib import suppress

from replica.hello import HelloError, decode_hello
from replica.wire import WireError, WireLimits, decode, encode
from replica.wire_cbor import REASONS, survey

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
