"""The recording of a client's links sees every frame, and only while it is active."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

from loadgen.trace import SAMPLES_MAX, Trace, TracedLink
from transport.frame import encode as frame

if TYPE_CHECKING:
    from collections.abc import Sequence


class Wire:
    """Takes what a link is given."""

    name = "wire"

    def __init__(self) -> None:
        self.sent: list[tuple[Sequence[bytes], int]] = []

    def send_encoded(self, buffers: Sequence[bytes], commands: int = 0) -> bool:
        self.sent.append((buffers, commands))
        return True


def test_counts_and_samples_while_active() -> None:
    trace = Trace()
    trace.count_sent(1, frame([b"before"]))
    trace.count_received(1, [b"before"])
    trace.active = True
    for number in range(100):
        trace.count_sent(1, frame([b"request", b"%03d" % number]))
    trace.count_received(2, [b"reply"] * 3)
    trace.active = False
    trace.count_sent(1, frame([b"after"]))
    found = trace.as_json()
    assert (found["sent"]["1"]["frames"], found["sent"]["1"]["bytes"]) == (100, 1000)
    assert [b64decode(text) for text in found["sent"]["1"]["samples"]] == [b"request%03d" % number for number in range(SAMPLES_MAX)]
    assert (found["received"]["2"]["frames"], found["received"]["2"]["bytes"]) == (3, 15)
    assert list(found["received"]) == ["2"]


def test_large_frames_are_counted_by_their_payload() -> None:
    trace = Trace()
    trace.active = True
    trace.count_sent(0, frame([bytes(100_000)]))
    assert trace.as_json()["sent"]["0"]["bytes"] == 100_000


def test_a_traced_link_is_the_link() -> None:
    trace, wire = Trace(), Wire()
    trace.active = True
    traced = TracedLink(wire, 5, trace)  # type: ignore[arg-type]  # as much of a link as is needed
    assert traced.send_encoded(frame([b"x"]), 3)
    assert traced.name == "wire"
    assert [commands for _, commands in wire.sent] == [3]
    assert trace.as_json()["sent"]["5"]["frames"] == 1
