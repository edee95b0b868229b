"""Checks a history for several promises at once, sharing what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadgen.checkers.causal import check_causal
from loadgen.checkers.causality import Causality
from loadgen.checkers.collector import collector_paused
from loadgen.checkers.exactly_once import check_exactly_once
from loadgen.checkers.hybrid import check_hybrid
from loadgen.checkers.linearizable import check_linearizable
from loadgen.checkers.sessions import check_sessions
from loadgen.checkers.sources import sources_of
from loadgen.checkers.vacuous import vacuous
from loadgen.checkers.verdict import NO, PROPERTIES, UNKNOWN, YES, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from loadgen.checkers.operation import History

SECONDS_DEFAULT: Final = 60.0
"""Time limit of the search for a linearization; the other checks take time in proportion to the history."""


def judge(history: History, properties: Collection[str] = PROPERTIES, seconds: float = SECONDS_DEFAULT) -> list[Verdict]:
    """Return a verdict for each property, in their usual order.

    Raises:
        Unreadable: values repeat, and a property other than linearizability is asked for.
    """
    verdicts: list[Verdict] = []
    with collector_paused():
        if set(properties) - {"linearizable"}:
            sources = sources_of(history)
            causality = Causality(history, sources)
            checks = {
                "sessions": lambda: check_sessions(causality),
                "causal": lambda: check_causal(causality),
                "hybrid": lambda: check_hybrid(causality),
                "exactly-once": lambda: check_exactly_once(history, sources),
            }
            verdicts = [checks[name]() for name in PROPERTIES if name in checks and name in properties]
        if "linearizable" in properties:
            verdicts.insert(0, check_linearizable(history, seconds))
    return verdicts


def answer_of(verdicts: Sequence[Verdict]) -> str:
    """Return no if one is no, else unknown if one is unknown, else yes."""
    answers = {verdict.answer for verdict in verdicts}
    return NO if NO in answers else UNKNOWN if UNKNOWN in answers else YES


def as_json(history: History, verdicts: Sequence[Verdict], operations_min: int = 0) -> dict[str, Any]:
    """Return the ``check`` object of a result, with the counterexamples; ``vacuous`` says why it proves nothing, None if it does."""
    return {
        **{verdict.property.replace("-", "_"): verdict.answer for verdict in verdicts},
        "operations_checked": len(history.operations),
        "vacuous": None if answer_of(verdicts) == NO else vacuous(history, operations_min) or None,
        "reasons": {verdict.property.replace("-", "_"): verdict.reason for verdict in verdicts if verdict.reason},
        "counterexamples": {
            verdict.property.replace("-", "_"): verdict.counterexample.as_json() for verdict in verdicts if verdict.counterexample is not None
        },
    }


def lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the verdicts for a terminal, each counterexample below its own."""
    shown: list[str] = []
    told: dict[tuple[str, ...], str] = {}
    for verdict in verdicts:
        reason = f" ({verdict.reason})" if verdict.reason else f" ({verdict.checked:,} operations)"
        shown.append(f"{verdict.property:<13} {verdict.answer}{reason}")
        if verdict.counterexample is not None:
            story = tuple(verdict.counterexample.lines())
            same = told.setdefault(story, verdict.property)
            shown += [f"  {line}" for line in story] if same == verdict.property else [f"  {story[0]} (the same as for {same})"]
    return shown
