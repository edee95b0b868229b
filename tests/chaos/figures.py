"""What the users of a cluster noticed of a kill: silences, slow commands, rates; taken from the ledger's commands, after the fact."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import attrs

from tests.chaos.ledger import STRONG, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.ledger import Command
    from tests.chaos.tail import Tail

AROUND_SECONDS = 2.0
"""Of rates before and after, and how far before a kill a silence may begin."""


@attrs.frozen(kw_only=True)
class Figures:
    """One round. Seconds, and strong commands a second; None where there is nothing to tell.

    Attributes:
        number: Of the round, from 1.
        victim: ``leader``, ``follower`` or ``all``.
        killed: Ids of the replicas.
        again: From the kill to the first completion of a strong command that was invoked after it.
        silence: The longest time without a strong completion that touches the time between the kill and ``again``.
        later: Likewise from there to ``until``: while the dead start and catch up.
        later_at: When that one began, after the kill.
        strong_longest: The longest strong command that was on its way between the kill and ``back``.
        strong_usual: The longest one of those that returned in the time before the kill: what this machine does by itself.
        put_longest, get_longest: The longest causal put and get on their way then, of sessions at home at replicas that were not killed.
        only_longest: Likewise both, of sessions that never send a strong command.
        causal_usual: As ``strong_usual``, of causal puts and gets.
        rate_before, rate_away, rate_after: Strong completions a second before the kill, until ``back``, and after it.
        started: From the kill to the last new process.
        ready: The longest time from a new process to its ``/readyz``.
        in_flight: Commands on their way when the kill came.
        stall: The longest that the load's own process was late between the kill and ``until``: no figure here is better than that.
    """

    number: int
    victim: str
    killed: tuple[int, ...]
    again: float | None
    silence: float
    later: float
    later_at: float
    strong_longest: float
    strong_usual: float
    put_longest: float | None
    get_longest: float | None
    only_longest: float | None
    causal_usual: float
    rate_before: float
    rate_away: float
    rate_after: float
    started: float
    ready: float
    in_flight: int
    stall: float


@attrs.frozen(kw_only=True)
class Kill:
    """When what happened in a round. Times by the run's clock, seconds.

    Attributes:
        at: The kill.
        back: All is as before: strong commands complete, and who comes back is ready.
        until: The end of what is looked at.
        first_command: How many commands the ledger had a while before the kill: where to begin to look.
    """

    number: int
    victim: str
    killed: tuple[int, ...]
    at: float
    back: float
    until: float
    first_command: int
    in_flight: int
    started: float
    ready: float


def figures_of(kill: Kill, commands: Sequence[Command] | Tail[Command], stalls: Sequence[tuple[float, float]] = ()) -> Figures:
    """Work out a round's figures.

    Args:
        kill: The round.
        commands: The ledger's, in the order of their invocation.
        stalls: ``(when, seconds late)`` of the load's own process.
    """
    looked_at = commands[kill.first_command :]
    done = [command for command in looked_at if command.outcome is Outcome.DONE]
    strong = [command for command in done if command.strong]
    ends = sorted(command.returned for command in strong)
    after = [command.returned for command in strong if command.invoked >= kill.at]
    there = [command for command in done if command.invoked < kill.back and command.returned > kill.at]
    elsewhere = [command for command in there if command.home not in kill.killed]
    before = [command for command in done if kill.at - AROUND_SECONDS < command.returned < kill.at]
    again = min(after, default=kill.at)
    quiet, (later, later_at) = silence(ends, kill.at, again)[0], silence(ends, again, kill.until)
    return Figures(
        number=kill.number,
        victim=kill.victim,
        killed=kill.killed,
        again=again - kill.at if after else None,
        silence=quiet,
        later=later,
        later_at=later_at - kill.at,
        strong_longest=_longest(there, *STRONG) or 0.0,
        strong_usual=_longest(before, *STRONG) or 0.0,
        put_longest=_longest(elsewhere, "causal put"),
        get_longest=_longest(elsewhere, "causal get"),
        only_longest=_longest([command for command in elsewhere if command.session.causal], "causal put", "causal get"),
        causal_usual=_longest(before, "causal put", "causal get") or 0.0,
        rate_before=_rate(ends, kill.at - AROUND_SECONDS, kill.at),
        rate_away=_rate(ends, kill.at, kill.back),
        rate_after=_rate(ends, kill.back, min(kill.until, kill.back + AROUND_SECONDS)),
        started=kill.started,
        ready=kill.ready,
        in_flight=kill.in_flight,
        stall=max((late for when, late in stalls if kill.at <= when <= kill.until), default=0.0),
    )


def silence(ends: Sequence[float], begin: float, end: float) -> tuple[float, float]:
    """Return the longest time between two completions that touches ``[begin, end]``, and when it began.

    Args:
        ends: Times of completions, sorted.
        begin: Of what is looked at.
        end: Of what is looked at.
    """
    first, last = max(0, bisect_right(ends, begin) - 1), bisect_left(ends, end)
    touched = ends[first : last + 1]
    return max(((later - earlier, earlier) for earlier, later in pairwise(touched)), default=(0.0, begin))


def _longest(commands: Sequence[Command], *kinds: str) -> float | None:
    return max((command.seconds for command in commands if command.kind in kinds), default=None)


def _rate(ends: Sequence[float], begin: float, end: float) -> float:
    return (bisect_left(ends, end) - bisect_left(ends, begin)) / (end - begin) if end > begin else 0.0


# ---------------------------------------------------------------------------------------------------------------------------- tables

COLUMNS: tuple[tuple[str, Callable[[Figures], float | None], float], ...] = (
    ("strong again", lambda row: row.again, 1000),
    ("silence", lambda row: row.silence, 1000),
    ("later silence", lambda row: row.later, 1000),
    ("begins", lambda row: row.later_at, 1000),
    ("strong longest", lambda row: row.strong_longest, 1000),
    ("strong usual", lambda row: row.strong_usual, 1000),
    ("causal put", lambda row: row.put_longest, 1000),
    ("causal get", lambda row: row.get_longest, 1000),
    ("causal only", lambda row: row.only_longest, 1000),
    ("causal usual", lambda row: row.causal_usual, 1000),
    ("rate before", lambda row: row.rate_before, 1),
    ("rate away", lambda row: row.rate_away, 1),
    ("rate after", lambda row: row.rate_after, 1),
    ("started", lambda row: row.started, 1000),
    ("ready", lambda row: row.ready, 1000),
    ("own stall", lambda row: row.stall, 1000),
)
"""Heading, figure, factor: times are told in milliseconds."""


def line(row: Figures) -> str:
    """Tell one round."""
    cells = [f"{heading} {_cell(figure(row), factor)}" for heading, figure, factor in COLUMNS]
    return f"round {row.number:3} {row.victim:8} {','.join(map(str, row.killed)):6} in flight {row.in_flight:4}  " + "  ".join(cells)


def table(rows: Sequence[Figures]) -> list[str]:
    """Tell the median and the extremes of each kind of kill. Times in milliseconds, rates in strong commands a second."""
    lines = []
    for victim in ("leader", "follower", "all"):
        some = [row for row in rows if row.victim == victim]
        if not some:
            continue
        lines += [f"{victim} kills: {len(some)}", f"  {'':16}{'median':>10}{'least':>10}{'most':>10}"]
        for heading, figure, factor in COLUMNS:
            known = [value for row in some if (value := figure(row)) is not None]
            if known:
                lines.append(f"  {heading:16}" + "".join(f"{_cell(value, factor):>10}" for value in (median(known), min(known), max(known))))
    return lines


def _cell(value: float | None, factor: float) -> str:
    return "-" if value is None else f"{value * factor:.0f}"
