"""What a user sees while a sweep runs: which run it is, what the last one brought, and how long it will still take."""

from __future__ import annotations

from time import monotonic
from typing import IO, TYPE_CHECKING, Final

from loadgen.figures import RATE
from loadgen.live_line import LiveLine

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.sweep.folder import Outcome
    from loadgen.sweep.plan import Plan, Run

START_SECONDS: Final = 4.0
"""A guess until the first run is over: to start a cluster and its clients, and to stop them."""
_MINUTE, _HOUR = 60, 3600


class SweepProgress:
    """Writes one line on a terminal, a line for each run elsewhere.

    Args:
        plan: The sweep.
        done: Runs of an earlier time.
        stream: Where to write; None: nowhere.
        clock: Seconds that only go forward.
    """

    def __init__(self, plan: Plan, done: int, stream: IO[str] | None, clock: Callable[[], float] = monotonic) -> None:
        self._line = LiveLine(stream)
        self._clock = clock
        self._all = plan.runs()
        self._done = done
        self._repeats = plan.repeats
        self._left = sum(planned(run) for run in self._all)  # planned seconds of runs that are not over
        self._overheads: list[float] = []  # seconds beyond the planned ones, of each run that is over
        self._begun = 0.0
        self._run: Run | None = None
        self._last = ""  # what the last run brought

    @property
    def is_live(self) -> bool:
        """Whether the line is rewritten, so that ``tick`` is worth calling."""
        return self._line.is_live

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self._line.say(line)

    def skip(self, run: Run) -> None:
        """Take note that a run was done at an earlier time."""
        self._left -= planned(run)

    def begin(self, run: Run) -> None:
        """Take note that a run begins."""
        self._run, self._begun = run, self._clock()
        self.tick()

    def tick(self) -> None:
        """Show the time left again, on a terminal."""
        if self.is_live and self._run is not None:
            self._line.show(f"run {self._done + 1} of {len(self._all)}  {self._where(self._run)}  {self.left()} left{self._last}")

    def finish(self, outcome: Outcome) -> None:
        """Tell what a run brought."""
        assert self._run is not None
        self._overheads.append(self._clock() - self._begun - planned(self._run))
        self._left -= planned(self._run)
        self._done += 1
        self._run = None
        rate = "no result" if outcome.result is None else f"{outcome.result[RATE]:,.0f}/s"
        self._last = f"  (before: {rate})"
        line = f"run {self._done} of {len(self._all)}  {self._where(outcome.run)}: {rate}{f'  FAILED: {outcome.failure}' if outcome.failure else ''}"
        if outcome.failure or not self.is_live:
            self._line.say(f"{line}  {self.left()} left")

    def end(self) -> None:
        """Leave the live line."""
        self._line.end()

    def left(self) -> str:
        """Say how long the rest will take, by what the runs so far took."""
        overhead = sum(self._overheads) / len(self._overheads) if self._overheads else START_SECONDS
        seconds = self._left + overhead * (len(self._all) - self._done)
        if self._run is not None:
            seconds -= min(self._clock() - self._begun, planned(self._run) + overhead)
        return duration(max(0.0, seconds))

    def _where(self, run: Run) -> str:
        return f"repeat {run.repeat} of {self._repeats}  {run.point.name}"


def planned(run: Run) -> float:
    """Return the seconds of load that a run's flags say; operations say none."""
    flags = run.point.flags
    return float(flags.get("seconds", 0.0)) + float(flags.get("warmup_seconds", 2.0))


def duration(seconds: float) -> str:
    """Return a length of time for people: 50 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
