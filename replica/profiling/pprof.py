"""Writes profiles as pprof's protobuf (``go tool pprof``, and every viewer that reads its files), without a protobuf library.

The format needs three of protobuf's rules: a varint is seven bits a byte, the lowest first; a field is its number and kind as one varint, then its
value; text, messages and packed numbers are a length and that many bytes.  Defaults (0) are left out.

Source: github.com/google/pprof, proto/profile.proto; protobuf.dev, "Encoding".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from replica.profiling.recording import Frame, Recording

    Text = Callable[[str], int]

SAMPLES_PER_PIECE = 200
_VARINT, _BYTES = 0, 2


@attrs.frozen(kw_only=True)
class Profile:
    """What a pprof file tells.

    Attributes:
        kinds: ``(what, unit)`` of each value of a sample; the last is what viewers show first.
        frames: named places.
        samples: for each its places in ``frames``, the outermost first, and its values.
        started_ns: Unix time.
        duration_ns: length of the recording.
        period: ``(what, unit, how much)`` lies between two samples.
        comment: a line for the reader.
    """

    kinds: Sequence[tuple[str, str]]
    frames: Sequence[Frame]
    samples: Iterable[tuple[Sequence[int], Sequence[int]]]
    started_ns: int
    duration_ns: int
    period: tuple[str, str, int]
    comment: str


def profile_of(recording: Recording, comment: str) -> Profile:
    """Return a recording as pprof has it: samples and processor time."""
    return Profile(
        kinds=[("samples", "count"), ("cpu", "nanoseconds")],
        frames=recording.frames,
        samples=((stack.frames, (stack.samples, stack.cpu_ns)) for stack in recording.stacks),
        started_ns=recording.started_ns,
        duration_ns=int(recording.usage.wall_seconds * 1e9),
        period=("cpu", "nanoseconds", int(1e9 / recording.hz)),
        comment=comment,
    )


def pieces(profile: Profile) -> Iterator[bytes]:
    """Yield the file's bytes, not compressed; a file is gzipped by custom."""
    strings: dict[str, int] = {"": 0}

    def text(value: str) -> int:
        return strings.setdefault(value, len(strings))

    yield b"".join(_message(1, _number(1, text(what)) + _number(2, text(unit))) for what, unit in profile.kinds)
    what, unit, period = profile.period
    head = _number(9, profile.started_ns) + _number(10, profile.duration_ns)
    head += _message(11, _number(1, text(what)) + _number(2, text(unit))) + _number(12, period)
    yield head + _number(13, text(profile.comment)) + _number(14, text(profile.kinds[-1][0]))
    yield _message(3, _number(1, 1) + _number(5, text("python")) + _number(7, 1) + _number(8, 1) + _number(9, 1))
    functions: dict[tuple[str, str, int], int] = {}
    for low in range(0, len(profile.frames), SAMPLES_PER_PIECE):
        yield b"".join(
            _location(number, frame, functions, text) for number, frame in enumerate(profile.frames[low : low + SAMPLES_PER_PIECE], low + 1)
        )
    batch: list[bytes] = []
    for places, values in profile.samples:
        innermost_first = b"".join(varint(place + 1) for place in reversed(places))
        batch.append(_message(2, _message(1, innermost_first) + _message(2, b"".join(map(varint, values)))))
        if len(batch) == SAMPLES_PER_PIECE:
            yield b"".join(batch)
            batch.clear()
    yield b"".join(batch)
    yield b"".join(_message(6, string.encode()) for string in strings)


def _location(number: int, frame: Frame, functions: dict[tuple[str, str, int], int], text: Text) -> bytes:
    """Return the message of a location, and that of its function where it is new."""
    name = f"{frame.function} (native)" if frame.native else frame.function
    key = (name, frame.file, frame.first_line)
    made = b""
    function = functions.get(key)
    if function is None:
        function = functions[key] = len(functions) + 1
        names = _number(2, text(name)) + _number(3, text(name)) + _number(4, text(frame.file))
        made = _message(5, _number(1, function) + names + _number(5, frame.first_line))
    line = _message(4, _number(1, function) + _number(2, frame.line))
    return made + _message(4, _number(1, number) + _number(2, 1) + line)


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it: a negative one as its 64-bit two's complement."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return varint(field << 3 | _VARINT) + varint(value) if value else b""


def _message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | _BYTES) + varint(len(content)) + content
