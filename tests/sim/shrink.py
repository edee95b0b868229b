"""Shrinking: a failed run is taken apart until what is left fails in the same way, and nothing more can be left out.

A plan says what went wrong and what was asked for; candidates are parts of it, run again with the recorded chance of every concern
(``streams``). What goes first is what costs most to read: whole sessions, then faults, then commands, each by halves, quarters and so on (delta
debugging, Zeller & Hildebrandt, TSE 2002); then what the world can do without, and the time in which nothing happens. When nothing more can go,
other chance is tried: a delay that a command less has moved may have hidden the failure.
"""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING

import attrs

from tests.sim.cut import SIMPLER, Cut
from tests.sim.plan import Plan
from tests.sim.run import Report, play
from tests.sim.streams import PlayedStreams, RecordedStreams
from tests.sim.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sim.options import Options

VARIANTS = (1, 4, 16)
"""Kinds of chance that are tried, the recorded one first: more when nothing else helps."""
LEAD_SECONDS = 0.03
"""Sessions are open after this time."""
MARGIN_SECONDS = 0.02
NAMED = re.compile(r"(I-[A-Z]+|read your writes|black box: [a-z ]+|liveness: \S+|acknowledged and held nowhere)")
DETAIL = re.compile(r"b'[^']*'|b\"[^\"]*\"|\d+")


def property_of(failure: str) -> str:
    """Return which promise a failure broke, without who broke it and when; empty if nothing failed."""
    if failure.startswith("Traceback"):
        places = re.findall(r", in (\S+)", failure)
        raised = failure.rstrip().rsplit("\n", 1)[-1].partition(":")[0]
        return f"{raised} in {places[-1]}"
    named = NAMED.match(failure)
    return DETAIL.sub("#", named[0] if named else failure.partition("\n")[0].partition(": ")[0])


def record(options: Options) -> tuple[Plan, Report]:
    """Run a world as its seed draws it, and keep all that was drawn."""
    streams = RecordedStreams(options.seed)
    world = World(options, None, streams)
    report = play(world)
    asked = sorted((one for client in world.clients for program in client.programs for one in program.asked), key=lambda one: (one.at, one.session))
    return Plan(options, tuple(world.strikes.done), tuple(asked), streams.tapes, 0, frozenset(range(options.clients * options.sessions))), report


def replay(plan: Plan, trace: Callable[[str], None] | None = None) -> Report:
    """Run a plan."""
    return play(World(plan.options, trace, PlayedStreams(plan.options.seed, plan.tapes, plan.variant), plan))


@attrs.define
class Shrinking:
    """The search, for one failed run.

    Attributes:
        options: of the run.
        seconds: it ends about then, with the smallest run it has.
        tries_max: or after so many runs.
        plan: of the run.
        whole: the run's report.
        cut: what is left.
        report: of what is left.
        tries: runs so far.
        took: seconds.
    """

    options: Options
    seconds: float = 60.0
    tries_max: int = 1 << 30
    plan: Plan = attrs.field(init=False)
    whole: Report = attrs.field(init=False)
    cut: Cut = attrs.Factory(Cut)
    report: Report = attrs.field(init=False)
    tries: int = 0
    took: float = 0.0
    _variants: int = 1
    _moments: list[float] = attrs.field(init=False)
    # when each command was asked for
    _began: float = attrs.Factory(monotonic)

    def __attrs_post_init__(self) -> None:
        self.plan, self.whole = record(self.options)
        self.report = self.whole
        self._moments = [asked.at for asked in self.plan.asked for _ in range(len(asked))]

    @property
    def wanted(self) -> str:
        """The property that must go on being broken."""
        return property_of(self.whole.failure)

    @property
    def left(self) -> Plan:
        """What is left of the plan."""
        return self.cut.apply(self.plan)

    def search(self) -> None:
        """Make the run as small as time allows; a plan that does not fail when it is played is left alone."""
        if self.wanted and self._fails(Cut()):
            for variants in VARIANTS:
                self._variants = variants
                while self._round():
                    pass
            self.cut = attrs.evolve(self.cut, commands=tuple(self._commands()))
        self.took = monotonic() - self._began

    # ----------------------------------------------------------------------------------------------------------------------- trying

    def _fails(self, cut: Cut) -> bool:
        """Whether a candidate fails as the run did; it is the best from then on."""
        variants = [cut.variant, *(variant for variant in range(self._variants) if variant != cut.variant)]
        for variant in variants:
            if self.tries >= self.tries_max or monotonic() - self._began > self.seconds:
                return False
            self.tries += 1
            candidate = attrs.evolve(cut, variant=variant)
            report = replay(candidate.apply(self.plan))
            if property_of(report.failure) == self.wanted:
                self.cut, self.report = candidate, report
                return True
        return False

    def _weight(self) -> tuple[object, ...]:
        left = self.left
        return len(left.sessions), len(left.faults), left.commands, len(self.cut.without), round(self.report.virtual_seconds, 2)

    def _round(self) -> bool:
        """Try everything once; return whether anything went."""
        before = self._weight()
        self._end_early()
        self._begin_late()
        for name, simpler in SIMPLER.items():
            if simpler(self.left.options) != self.left.options:
                self._fails(attrs.evolve(self.cut, without=(*self.cut.without, name)))
        self._last_commands_alone()
        self._fewer("sessions", sorted(self.left.sessions))
        self._fewer("faults", list(self.cut.faults if self.cut.faults is not None else range(len(self.plan.faults))))
        self._fewer("commands", self._commands())
        self._only_busy_sessions()
        self._shorter()
        return self._weight() != before

    def _fewer(self, what: str, places: list[int]) -> None:
        """Leave out as many places as possible: halves, quarters, ..., single ones, until none of these can go."""
        size = len(places)
        while size and places:
            gone = False
            start = 0
            while start < len(places):
                rest = places[:start] + places[start + size :]
                if self._fails(attrs.evolve(self.cut, **{what: tuple(rest)})):  # type: ignore[arg-type]
                    places, gone = rest, True
                else:
                    start += size
            if size == 1 and not gone:
                return
            size = max(1, min(size, len(places)) // 2) if size > 1 else 1

    # --------------------------------------------------------------------------------------------------------------------- what may go

    def _commands(self) -> list[int]:
        """Places of the commands that are left."""
        kept = None if self.cut.commands is None else set(self.cut.commands)
        sessions = self.left.sessions
        places, end = [], 0
        for asked in self.plan.asked:
            start, end = end, end + len(asked)
            places += [place for place in range(start, end) if asked.session in sessions and (kept is None or place in kept)]
        return places

    def _end_early(self) -> None:
        """Let nothing happen after some moment, as early as possible: everything before it stays as it is, and its chance too."""
        early, late = 0.0, min(self.report.virtual_seconds, self.left.options.fault_seconds)
        while late - early > MARGIN_SECONDS:
            middle = round((early + late) / 2, 4)
            if self._fails(self._before(middle)):
                late = middle
            else:
                early = middle

    def _before(self, moment: float) -> Cut:
        calm = min(moment, self.left.options.fault_seconds)
        return attrs.evolve(self._between(0.0, moment + self.cut.earlier), calm=calm)  # a plan's own times are later by what the cut shifts

    def _between(self, since: float, until: float) -> Cut:
        faults = self.cut.faults if self.cut.faults is not None else range(len(self.plan.faults))
        kept = tuple(place for place in faults if since <= self.plan.faults[place].at <= until)
        commands = tuple(place for place in self._commands() if since <= self._moments[place] <= until)
        return attrs.evolve(self.cut, faults=kept, commands=commands)

    def _begin_late(self) -> None:
        """Let nothing happen before some moment, as late as possible: of faults, of commands, of both."""
        late = self.report.virtual_seconds + self.cut.earlier
        for share in (0.9, 0.75, 0.5, 0.25):
            cut = self._between(share * late, late)
            if (
                self._fails(cut)
                or self._fails(attrs.evolve(cut, faults=self.cut.faults))
                or self._fails(attrs.evolve(cut, commands=self.cut.commands))
            ):
                return

    def _last_commands_alone(self) -> None:
        """What fails late rarely needs what was early."""
        places = self._commands()
        for count in (8, 32, 128):
            if count < len(places) and self._fails(attrs.evolve(self.cut, commands=tuple(places[-count:]))):
                return

    def _only_busy_sessions(self) -> None:
        """A session that asks for nothing need not be there."""
        busy = tuple(sorted({asked.session for asked in self.left.asked}))
        if len(busy) < len(self.left.sessions):
            self._fails(attrs.evolve(self.cut, sessions=busy))

    def _shorter(self) -> None:
        """Wait for nothing: at the beginning, and after the last that happens."""
        left = self.left
        moments = [fault.at for fault in left.faults] + [asked.at for asked in left.asked]
        if moments and min(moments) > 2 * LEAD_SECONDS:
            self._fails(attrs.evolve(self.cut, earlier=round(self.cut.earlier + min(moments) - LEAD_SECONDS, 4)))
        left = self.left
        ends = [fault.at + fault.seconds for fault in left.faults] + [asked.at for asked in left.asked]
        calm = round(max(ends, default=0.0) + MARGIN_SECONDS, 3)
        if calm < left.options.fault_seconds:
            self._fails(attrs.evolve(self.cut, calm=calm))
