"""What the encoder writes is read by a small decoder that knows nothing of it but the format's two documents."""

from __future__ import annotations

from typing import Any

import pytest

from replica.profiling.pprof import SAMPLES_PER_PIECE, pieces, profile_of, varint
from tests.replica.profiling.recorded import MAIN, SMALL, STEP, record


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def read_message(data: bytes) -> dict[int, list[Any]]:
    """Return ``{field: values}``; bytes are messages, text or packed numbers."""
    fields: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        assert key & 7 in {0, 2}, "wire type"
        if key & 7 == 0:
            value, at = read_varint(data, at)
            fields.setdefault(key >> 3, []).append(value)
        else:
            size, at = read_varint(data, at)
            fields.setdefault(key >> 3, []).append(data[at : at + size])
            at += size
    assert at == len(data)
    return fields


def read_packed(data: bytes) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = read_varint(data, at)
        values.append(value)
    return values


class Read:
    """A profile as a viewer sees it."""

    def __init__(self, data: bytes) -> None:
        self.fields = read_message(data)
        self.strings = [text.decode() for text in self.fields[6]]
        self.kinds = [tuple(self.strings[read_message(kind)[field][0]] for field in (1, 2)) for kind in self.fields[1]]
        functions = {message[1][0]: message for message in map(read_message, self.fields[5])}
        self.locations: dict[int, tuple[str, str, int, int]] = {}
        for location in map(read_message, self.fields[4]):
            line = read_message(location[4][0])
            function = functions[line[1][0]]
            first = function.get(5, [0])[0]
            self.locations[location[1][0]] = (self.strings[function[2][0]], self.strings[function.get(4, [0])[0]], line.get(2, [0])[0], first)
        self.samples = []
        for sample in map(read_message, self.fields[2]):
            places = [self.locations[number] for number in read_packed(sample[1][0])]
            self.samples.append((places, read_packed(sample[2][0])))


def test_a_recording_is_read_back_whole() -> None:
    read = Read(b"".join(pieces(profile_of(SMALL, "replica 0"))))
    assert read.kinds == [("samples", "count"), ("cpu", "nanoseconds")]
    assert read.strings[0] == ""
    assert read.samples[0] == (
        [("send (native)", "transport/tcp.py", 136, 0), ("TcpLink.flush", "transport/tcp.py", 120, 110), ("main", "replica/__main__.py", 8, 1)],
        [30, 300_000_000],
    )
    assert [values for _, values in read.samples] == [[30, 300_000_000], [50, 500_000_000], [20, 200_000_000]]


def test_the_header_tells_when_how_long_and_how_often() -> None:
    fields = Read(b"".join(pieces(profile_of(SMALL, "replica 0")))).fields
    strings = [text.decode() for text in fields[6]]
    assert (fields[9], fields[10], fields[12]) == ([1_700_000_000_000_000_000], [10_000_000_000], [10_000_000])
    assert strings[fields[13][0]] == "replica 0"
    assert strings[fields[14][0]] == "cpu"


def test_a_function_is_told_once_however_many_lines_of_it_were_seen() -> None:
    recording = record(*(((MAIN, STEP.__class__("Replica.step", STEP.file, line, 100)), 1, 1) for line in range(101, 120)))
    read = Read(b"".join(pieces(profile_of(recording, ""))))
    assert len(read.fields[5]) == 2
    assert len(read.fields[4]) == 20


def test_large_profiles_come_in_pieces() -> None:
    count = 2 * SAMPLES_PER_PIECE + 1
    recording = record(*(((MAIN,) * (number + 1), 1, number) for number in range(count)))
    made = list(pieces(profile_of(recording, "")))
    assert len([piece for piece in made if piece.startswith(b"\x12")]) == 3, "pieces that begin with a sample"
    assert len(Read(b"".join(made)).samples) == count


@pytest.mark.parametrize(
    ("value", "written"), [(0, b"\0"), (1, b"\1"), (127, b"\x7f"), (128, b"\x80\1"), (300, b"\xac\2"), (-1, b"\xff" * 9 + b"\1")]
)
def test_varints_are_protobuf_s(value: int, written: bytes) -> None:
    assert varint(value) == written
