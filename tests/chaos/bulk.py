"""The bulk of a soak's load: client processes of the load generator, first as fast as they can for a while, then by schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from loadgen.coordinator import run_load
from loadgen.observer import Observer
from loadgen.progress import Progress
from loadgen.settings import LoadSettings

if TYPE_CHECKING:
    from pathlib import Path

    from replica.cluster_file import ClusterFile

CONNECT_SECONDS = 30.0
DRAIN_SECONDS = 2.0


@attrs.frozen(kw_only=True)
class Bulk:
    """Its shape: the flags of ``triskele load`` by the same names; half of its commands write."""

    clients: int = 2
    threads: int = 8
    pendings: int = 60
    key_space: int = 100_000
    value_bytes: int = 100

    def settings(self, seconds: float, *, rate: float, preload: bool, seed: int) -> LoadSettings:
        """Return the load generator's settings.

        Args:
            seconds: Of load.
            rate: Operations a second by schedule; 0: as fast as they can.
            preload: Whether every key is written first.
            seed: Of the operations.
        """
        return LoadSettings(
            **attrs.asdict(self), seconds=seconds, rate=rate, preload="yes" if preload else "no", seed=seed, warmup_seconds=0.0, write_percent=50.0,
            causal_write_percent=50.0, connect_seconds=CONNECT_SECONDS, drain_seconds=DRAIN_SECONDS,
        )  # fmt: skip


@attrs.define
class Counted:
    """What came of commands of the bulk so far.

    Attributes:
        done: Completed.
        failed: Had no effect.
        unknown: May have had one.
        reasons: ``{why: how many}`` of the latter two.
    """

    done: int = 0
    failed: int = 0
    unknown: int = 0
    reasons: dict[str, int] = attrs.Factory(dict)

    def plus(self, other: Counted) -> Counted:
        """Return the sum."""
        reasons = {why: self.reasons.get(why, 0) + other.reasons.get(why, 0) for why in {**self.reasons, **other.reasons}}
        return Counted(self.done + other.done, self.failed + other.failed, self.unknown + other.unknown, reasons)


class Tally(Progress):
    """Adds up what client processes tell each second. They tell completions of a second, but what went wrong since the beginning."""

    def __init__(self, processes: int) -> None:
        super().__init__(processes, 0.0, 0, None)
        self.counted = Counted()
        self._wrong: dict[float, tuple[int, int]] = {}  # {second: (failed, unknown)}

    def second(self, told: dict[str, Any]) -> None:
        """Take one process's second."""
        failed, unknown = self._wrong.pop(told["second"], (0, 0))
        self._wrong[told["second"]] = failed, unknown = failed + told["failed"], unknown + told["unknown"]
        self._wrong = {second: wrong for second, wrong in self._wrong.items() if second >= told["second"] - 2}
        self.counted.done += told["operations"]
        self.counted.failed, self.counted.unknown = max(self.counted.failed, failed), max(self.counted.unknown, unknown)

    def finish(self, results: list[dict[str, Any]]) -> None:
        """Take what the processes tell at the end instead."""
        self.counted = Counted()
        for result in results:
            self.counted = self.counted.plus(Counted(result["operations"], result["failed"], result["unknown"], result["reasons"]))


async def run_bulk(settings: LoadSettings, file: ClusterFile, tally: Tally, folder: Path) -> float:
    """Run once and return the rate, commands a second.

    Args:
        settings: What to do.
        file: The cluster, as its clients dial it.
        tally: Told what happens, and in the end all of it.
        folder: For captured histories; there are none.

    Raises:
        LoadFailed: The cluster cannot be reached, or a client process failed.
    """
    gathered = await run_load(settings, file.addresses(), Observer(file), tally, folder)
    tally.finish(gathered.results)
    begin, end = min(result["start"] for result in gathered.results), max(result["end"] for result in gathered.results)
    return float(tally.counted.done / (end - begin))
