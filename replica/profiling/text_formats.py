"""Writes recordings as speedscope's JSON (its page also runs from a folder) and as collapsed stacks (flamegraph.pl and its relatives)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from replica.profiling.recording import Frame, Recording

STACKS_PER_PIECE = 200
SPEEDSCOPE_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def speedscope_pieces(recording: Recording, name: str) -> Iterator[bytes]:
    """Yield a speedscope file: one sampled profile whose weights are nanoseconds of processor time."""
    frames = [_speedscope_frame(frame) for frame in recording.frames]
    head = {"$schema": SPEEDSCOPE_SCHEMA, "name": name, "exporter": "triskele", "activeProfileIndex": 0, "shared": {"frames": frames}}
    profile = {"type": "sampled", "name": name, "unit": "nanoseconds", "startValue": 0, "endValue": recording.cpu_ns}
    profile["weights"] = [stack.cpu_ns for stack in recording.stacks]
    yield (json.dumps(head)[:-1] + ', "profiles": [' + json.dumps(profile)[:-1] + ', "samples": [').encode()
    for low in range(0, len(recording.stacks), STACKS_PER_PIECE):
        stacks = [stack.frames for stack in recording.stacks[low : low + STACKS_PER_PIECE]]
        yield ((", " if low else "") + json.dumps(stacks)[1:-1]).encode()
    yield b"]}]}\n"


def collapsed_pieces(recording: Recording) -> Iterator[bytes]:
    """Yield a line for each stack of functions: their names from the outermost in, with ``;`` between, and microseconds of processor time."""
    names = [collapsed_name(frame) for frame in recording.frames]
    lines: dict[str, int] = {}
    for stack in recording.stacks:
        line = ";".join(names[place] for place in stack.frames)
        lines[line] = lines.get(line, 0) + stack.cpu_ns
    rows = [f"{line} {cpu_ns // 1000}\n" for line, cpu_ns in lines.items()]
    for low in range(0, len(rows), STACKS_PER_PIECE):
        yield "".join(rows[low : low + STACKS_PER_PIECE]).encode()


def collapsed_name(frame: Frame) -> str:
    """Return a frame's name in a line: function and file; native code in square brackets, as elsewhere."""
    if frame.native:
        return f"[{frame.function}]"
    return f"{frame.function} ({frame.file}:{frame.first_line})".replace(";", ",")


def _speedscope_frame(frame: Frame) -> dict[str, object]:
    if frame.native:
        return {"name": f"[{frame.function}]", "file": frame.file, "line": frame.line} if frame.file else {"name": f"[{frame.function}]"}
    return {"name": frame.function, "file": frame.file, "line": frame.line}
