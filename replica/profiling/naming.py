"""Turns samples into named frames: function, file and line for Python code, the called name for native code.

Python runs a signal's handler only at certain instructions.  Behind a call of native code: then the time went there, and the instruction that
loaded what was called names it.  At the beginning of a function, or where one is resumed: then it has done nothing yet, and the time went into
its caller.  Elsewhere (the jumps of loops) it went into the function itself.  So what a line costs is known to the distance between two such
instructions.

Work of milliseconds for a long profile, so it is done in slices, between turns.  Rejected: to read the names from the source text (there is none
of generated code, and files may have changed since they were loaded).
"""

from __future__ import annotations

import dis
import os
import sys
from typing import TYPE_CHECKING

from replica.profiling.recording import Frame, Recording, Stack
from replica.profiling.sampler import IN_COLLECTION

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from types import CodeType

    from replica.profiling.sampler import Samples

COLLECTION = "garbage collection"
OTHER_THREADS = "other threads"
SAMPLING = "sampling"
BESIDE_SECONDS_MIN = 0.005
"""Less than this beside the main thread's samples is the distance between two clocks."""
SLICE_STACKS = 2
"""Stacks named in one slice: a millisecond or two, nearly all of it for functions not met before."""

_LOADS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR")
"""What loads a callable; later Pythons have longer names that begin alike."""


class Naming:
    """Names the places of code objects; each is looked at once."""

    def __init__(self, path: Iterable[str] | None = None) -> None:
        """``path``: the folders that modules are imported from, ``sys.path`` if None."""
        folders = {os.path.abspath(folder) for folder in (sys.path if path is None else path)}  # noqa: PTH100 - plain strings, many of them
        self._folders = sorted(folders, key=len, reverse=True)
        self._frames: dict[Frame, int] = {}
        self._python: dict[tuple[int, int], int] = {}  # {(code id, place): place in frames}
        self._native: dict[tuple[int, int], int] = {}
        self._instructions: dict[int, bytes] = {}  # {code id: its instructions}
        self._calls: dict[int, dict[int, str]] = {}  # {code id: {place of a call: the name it calls by}}

    def frames(self) -> list[Frame]:
        """Return every frame that was named, in the order of their places."""
        return list(self._frames)

    def place_of(self, frame: Frame) -> int:
        """Return the place of a frame, a new one at the end."""
        return self._frames.setdefault(frame, len(self._frames))

    def stack(self, key: tuple[int, ...], codes: dict[int, CodeType]) -> tuple[int, ...]:
        """Return the places of a sample's frames, the outermost first.

        Args:
            key: as in ``Samples.stacks``.
            codes: ``{id: code}``.
        """
        pairs = list(zip(key[::2], key[1::2], strict=True))
        inner: list[int] = []
        if pairs and pairs[0][1] == IN_COLLECTION:
            del pairs[0]
            inner = [self.place_of(Frame(COLLECTION, "", 0, 0, native=True))]
        elif pairs:
            code, last = codes[pairs[0][0]], pairs[0][1]
            operation = self._operation(code, last)
            if operation == "RESUME" and len(pairs) > 1:
                del pairs[0]
            elif "CALL" in operation:
                inner = [self._native_place(code, last)]
        return (*(self._python_place(codes[code_id], last) for code_id, last in reversed(pairs)), *inner)

    def short(self, file: str) -> str:
        """Return a file's name below the folder it is imported from."""
        for folder in self._folders:
            if file.startswith(folder + os.sep):
                return file[len(folder) + 1 :]
        return file

    def _operation(self, code: CodeType, last: int) -> str:
        instructions = self._instructions.get(id(code))
        if instructions is None:
            instructions = self._instructions[id(code)] = code.co_code
        return dis.opname[instructions[last]] if 0 <= last < len(instructions) else ""

    def _python_place(self, code: CodeType, last: int) -> int:
        place = self._python.get((id(code), last))
        if place is None:
            frame = Frame(code.co_qualname, self.short(code.co_filename), line_of(code, last), code.co_firstlineno)
            place = self._python[id(code), last] = self.place_of(frame)
        return place

    def _native_place(self, code: CodeType, last: int) -> int:
        place = self._native.get((id(code), last))
        if place is None:
            calls = self._calls.get(id(code))
            if calls is None:
                calls = self._calls[id(code)] = called_names(code)
            name, line = calls.get(last) or "native code", line_of(code, last)
            place = self._native[id(code), last] = self.place_of(Frame(name, self.short(code.co_filename), line, 0, native=True))
        return place


def line_of(code: CodeType, last: int) -> int:
    """Return the line of an instruction, the function's first if it has none."""
    for begin, end, line in code.co_lines():
        if begin <= last < end and line is not None:
            return line
    return code.co_firstlineno


def called_names(code: CodeType) -> dict[int, str]:
    """Return for each call of a code object, by its place, the name by which it calls: the last one of a dotted name; nothing if it calls no name.

    A call and what loads its callable begin at the same place of the source; its arguments stand behind that.
    """
    loaded: dict[tuple[int | None, int | None], str] = {}  # {line and column: the name loaded last}
    calls: dict[int, str] = {}
    for one in dis.get_instructions(code):
        began = (one.positions.lineno, one.positions.col_offset) if one.positions else (None, None)
        if one.opname.startswith(_LOADS) and isinstance(one.argval, str):
            loaded[began] = one.argval
        elif "CALL" in one.opname:
            calls[one.offset] = loaded.get(began, "")
    return calls


def name_samples(samples: Samples, naming: Naming | None = None) -> Generator[None, None, Recording]:
    """Make the recording, slice by slice: yields between two, returns the recording."""
    naming = naming or Naming()
    codes = dict(samples.codes)
    merged: dict[tuple[int, ...], list[int]] = {}
    for number, (key, (count, cpu_ns)) in enumerate(samples.stacks.items(), 1):
        cell = merged.setdefault(naming.stack(key, codes), [0, 0])
        cell[0] += count
        cell[1] += cpu_ns
        if number % SLICE_STACKS == 0:
            yield
    beside = {SAMPLING: samples.sampling_seconds, OTHER_THREADS: samples.usage.cpu_seconds - samples.main_seconds}
    for name, seconds in beside.items():
        if seconds > BESIDE_SECONDS_MIN:
            merged[naming.place_of(Frame(name, "", 0, 0, native=True)),] = [0, int(seconds * 1e9)]
    return Recording(
        started_ns=samples.started_ns,
        hz=samples.hz,
        sampling_seconds=samples.sampling_seconds,
        usage=samples.usage,
        frames=naming.frames(),
        stacks=[Stack(frames, count, cpu_ns) for frames, (count, cpu_ns) in merged.items()],
    )


def named_at_once(samples: Samples) -> Recording:
    """Make the recording in one go, where nothing waits for it."""
    naming = name_samples(samples)
    while True:
        try:
            next(naming)
        except StopIteration as ended:
            recording: Recording = ended.value
            return recording
