"""A recorded profile: call stacks with the processor time spent in each, and what the process used meanwhile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from replica.profiling.collector import CollectorStatistics
from replica.profiling.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SCHEMA = "triskele.recording/1"
STACKS_PER_PIECE = 200


@attrs.frozen
class Frame:
    """One place in a call stack.

    Attributes:
        function: qualified name; of native code, the name it was called by.
        file: below the folder it is imported from; of native code, where it was called.
        line: that was executed; of native code, the call's.
        first_line: of the function; 0 for native code.
        native: C code: an extension, the interpreter, the kernel.
    """

    function: str
    file: str
    line: int
    first_line: int
    native: bool = False


@attrs.frozen
class Stack:
    """What was spent in one call stack.

    Attributes:
        frames: places in ``Recording.frames``, the outermost first.
        samples: how often it was seen.
        cpu_ns: processor time.
    """

    frames: tuple[int, ...]
    samples: int
    cpu_ns: int


@attrs.frozen(kw_only=True)
class Recording:
    """A profile of one process.

    Attributes:
        started_ns: Unix time of its beginning.
        hz: samples asked for in a second of processor time; the kernel may give fewer.
        sampling_seconds: what taking the samples took itself.
        usage: of the whole process, from the beginning to the end.
        frames: each once.
        stacks: each once; their times add up to the main thread's processor time.
    """

    started_ns: int
    hz: float
    sampling_seconds: float
    usage: Usage
    frames: Sequence[Frame]
    stacks: Sequence[Stack]

    @property
    def samples(self) -> int:
        """How many samples were taken."""
        return sum(stack.samples for stack in self.stacks)

    @property
    def cpu_ns(self) -> int:
        """Processor time of all stacks."""
        return sum(stack.cpu_ns for stack in self.stacks)

    def json_pieces(self) -> Iterator[bytes]:
        """Yield this as one JSON object, piece by piece."""
        head = {"schema": SCHEMA, "started_ns": self.started_ns, "hz": self.hz, "sampling_seconds": self.sampling_seconds}
        yield (json.dumps({**head, "usage": attrs.asdict(self.usage)})[:-1] + ', "frames": [').encode()
        for low in range(0, len(self.frames), STACKS_PER_PIECE):
            rows = [
                [frame.function, frame.file, frame.line, frame.first_line, int(frame.native)] for frame in self.frames[low : low + STACKS_PER_PIECE]
            ]
            yield ((", " if low else "") + json.dumps(rows)[1:-1]).encode()
        yield b'], "stacks": ['
        for low in range(0, len(self.stacks), STACKS_PER_PIECE):
            stacks = [[stack.samples, stack.cpu_ns, stack.frames] for stack in self.stacks[low : low + STACKS_PER_PIECE]]
            yield ((", " if low else "") + json.dumps(stacks)[1:-1]).encode()
        yield b"]}\n"

    def as_json(self) -> dict[str, Any]:
        """Return this as JSON values."""
        table: dict[str, Any] = json.loads(b"".join(self.json_pieces()))
        return table

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> Recording:
        """Return what ``json_pieces`` wrote.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        if table["schema"] != SCHEMA:
            raise ValueError(f"schema {table['schema']}: not {SCHEMA}")
        told = dict(table["usage"])
        collector: dict[str, Any] = dict(told.pop("collector"))
        for name in ("by_generation", "pauses_us"):
            collector[name] = tuple(collector[name])
        return cls(
            started_ns=table["started_ns"],
            hz=table["hz"],
            sampling_seconds=table["sampling_seconds"],
            usage=Usage(**told, collector=CollectorStatistics(**collector)),
            frames=[Frame(function, file, line, first, bool(native)) for function, file, line, first, native in table["frames"]],
            stacks=[Stack(tuple(frames), samples, cpu_ns) for samples, cpu_ns, frames in table["stacks"]],
        )


def merge(recordings: Iterable[Recording]) -> Recording:
    """Put the stacks of several processes of one kind together; there is at least one. The usage is the first one's: it is of a process."""
    everyone = list(recordings)
    places: dict[Frame, int] = {}
    cells: dict[tuple[int, ...], list[int]] = {}
    for recording in everyone:
        numbers = [places.setdefault(frame, len(places)) for frame in recording.frames]
        for stack in recording.stacks:
            cell = cells.setdefault(tuple(numbers[place] for place in stack.frames), [0, 0])
            cell[0] += stack.samples
            cell[1] += stack.cpu_ns
    return attrs.evolve(
        everyone[0],
        sampling_seconds=sum(recording.sampling_seconds for recording in everyone),
        frames=list(places),
        stacks=[Stack(frames, count, cpu_ns) for frames, (count, cpu_ns) in cells.items()],
    )
