"""Linearizability of strong operations: each takes effect at one moment between its invocation and its answer, for everybody."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from loadgen.checkers.operation import shown
from loadgen.checkers.search import OutOfTime, is_linearizable
from loadgen.checkers.shrinking import Shrinking
from loadgen.checkers.sources import values_by_version
from loadgen.checkers.steps import groups_of, steps_of
from loadgen.checkers.verdict import NO, UNKNOWN, YES, Counterexample, Verdict

if TYPE_CHECKING:
    from loadgen.checkers.operation import History
    from loadgen.checkers.steps import Group

PROPERTY: Final = "linearizable"
SHRINK_SECONDS: Final = 5.0
"""Spent on making a counterexample small, beyond the time limit."""


def check_linearizable(history: History, seconds: float) -> Verdict:
    """Check each group of keys, the small ones first.

    Args:
        history: any; values may repeat.
        seconds: the time limit. A group that was not judged by then makes the verdict *unknown*, unless another one is violated.
    """
    deadline = monotonic() + seconds
    groups, versions = groups_of(history), values_by_version(history)
    checked = sum(map(len, groups))
    late: Group = []
    for group in groups:
        try:
            if is_linearizable(steps_of(group, versions), deadline):
                continue
        except OutOfTime:
            late = late or group
            continue
        small = Shrinking(versions, SHRINK_SECONDS).shrink(group)
        return Verdict(PROPERTY, NO, checked, _counterexample(small))
    if late:
        return Verdict(PROPERTY, UNKNOWN, checked, reason=f"{_keys(late)}: {len(late)} operations were not judged within {seconds:g} s")
    return Verdict(PROPERTY, YES, checked)


def _counterexample(group: Group) -> Counterexample:
    return Counterexample("no linearization", f"{_keys(group)}: no order of these in real time explains every answer", group)


def _keys(group: Group) -> str:
    keys = sorted({operation.key for operation in group if operation.key})
    if not keys:
        return "the register"
    return f"key {shown(keys[0])}" if len(keys) == 1 else f"keys {shown(keys[0])} to {shown(keys[-1])} (tied by scans)"
