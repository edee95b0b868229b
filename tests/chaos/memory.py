"""What processes and data folders take, over hours, and whether it grows.

A replica's memory goes up in steps: when it reads its state from the disk, or takes it from another one, it holds two for a moment, and the
system's allocator keeps the room.  And it begins anew with every start.  So growth is looked for where steps and starts do not hide it:

- in the store itself: what the smallest of those that were started again takes, and what the largest of all takes, in the run's second half
  against its first (``extremes``);
- in a process: what changes from one part of a long life to the next, in the median, which a step does not move (``steady``).
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OURSELVES = -1
"""In the place of a replica's id: the process that measures."""
GROWTH_MAX = 1.15
"""More than this is growth."""
SLACK_BYTES = 8 << 20
"""Less than this is none in memory: an allocator's matter."""
YOUNG = 1 / 120
"""Of the run's length; a process that is younger may still read its state."""
LONG_LIFE = 1 / 5
"""Of the run's length."""
LIFE_SAMPLES_MIN = 28
PARTS = 7
"""Of a long life: what goes up and down within one does not count, nor do steps in one or two. Six changes between them, so that neither direction
has one more than the other."""


@attrs.frozen
class Sample:
    """What a process took: when (seconds after the load began), whose, its process id and age in seconds, bytes in memory, open files."""

    at: float
    replica: int
    pid: int
    age: float
    rss: int
    files: int


def take(at: float, replica: int, pid: int, age: float) -> Sample | None:
    """Return a sample of a process, None if it has ended. Raises FileNotFoundError nowhere: a system without ``/proc`` gives None, too."""
    with suppress(OSError, IndexError):
        resident = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return Sample(round(at, 1), replica, pid, round(age, 1), resident, len(list(Path(f"/proc/{pid}/fd").iterdir())))
    return None


def bytes_of(folder: Path) -> int:
    """Return what the files in a folder take on disk."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # gone meanwhile
            total += path.stat().st_blocks * 512
    return total


@attrs.frozen
class Growth:
    """A comparison that was made: what was compared, then and later (bytes), and whether it is growth. Less than ``slack`` more is none."""

    what: str
    before: float
    after: float
    slack: float = SLACK_BYTES

    @property
    def grows(self) -> bool:
        """Whether it is growth."""
        return self.after > self.before * GROWTH_MAX and self.after > self.before + self.slack

    def line(self) -> str:
        """Tell it."""
        verdict = "GROWS" if self.grows else "flat"
        return f"{verdict}: {self.what}: {self.before / 2**20:.1f} MiB, then {self.after / 2**20:.1f} MiB"


def comparisons(samples: Sequence[Sample], disk: Sequence[tuple[float, int]], seconds: float, disk_slack: float) -> list[Growth]:
    """Compare all that can be compared.

    Args:
        samples: Of all processes.
        disk: ``(when, bytes)`` of the data folders, all together.
        seconds: The run's length.
        disk_slack: Bytes by which folders go up and down.
    """
    others = [sample for sample in samples if sample.replica != OURSELVES]
    found = [*extremes(others, seconds), *steady(samples, seconds)]
    before, after = [size for at, size in disk if at < seconds / 2], [size for at, size in disk if at >= seconds / 2]
    if before and after:
        found.append(Growth("most on disk, first and second half", max(before), max(after), disk_slack))
    return found


def extremes(samples: Sequence[Sample], seconds: float) -> list[Growth]:
    """Compare the run's halves: the least that a replica took that was started again, and the most that any took.

    Each replica's first process is left out of the least: it began with an empty store, while all others read theirs from the disk.
    """
    firsts = {sample.replica: sample.pid for sample in reversed(samples)}
    grown = [sample for sample in samples if sample.age >= YOUNG * seconds]
    again = [sample for sample in grown if sample.pid != firsts[sample.replica]]
    found = []
    for what, some, choose in (("least that a replica took that was started again", again, min), ("most that a replica took", grown, max)):
        halves: tuple[list[int], list[int]] = ([], [])
        for sample in some:
            halves[sample.at >= seconds / 2].append(sample.rss)
        if all(halves):
            found.append(Growth(f"{what}, first and second half", choose(halves[0]), choose(halves[1])))
    return found


def steady(samples: Iterable[Sample], seconds: float) -> list[Growth]:
    """Follow each long life by the median of what changes from one part of it to the next, and tell where that leads.

    Its first quarter is left out, and the run's: bounds are being reached then.
    """
    lives: dict[int, list[Sample]] = {}
    for sample in samples:
        if sample.at >= seconds / 4:
            lives.setdefault(sample.pid, []).append(sample)
    found = []
    for life in lives.values():
        if life[-1].age - life[0].age < LONG_LIFE * seconds or len(life) < LIFE_SAMPLES_MIN:
            continue
        late = [sample.rss for sample in life[len(life) // 4 :]]
        parts = [mean(late[part * len(late) // PARTS : (part + 1) * len(late) // PARTS]) for part in range(PARTS)]
        change = median(after - before for before, after in pairwise(parts))
        whose = "the measuring process" if life[0].replica == OURSELVES else f"replica {life[0].replica}"
        found.append(Growth(f"{whose}, steadily, in a life of {life[-1].age / 60:.1f} min", parts[0], parts[0] + change * (PARTS - 1)))
    return found
