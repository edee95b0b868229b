"""What becomes of a run's captured history when the load is over: it is written where the user wants it, and checked.

A cluster of one's own begins empty. Of any other nothing is known before the run, so values that nobody wrote are taken for what was there;
the written history says so itself.
Other programs must not write the same keys meanwhile: the checkers would take what they wrote for a value from nowhere.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from loadgen import history
from loadgen.checkers.collector import collector_paused
from loadgen.checkers.judge import as_json, judge, lines
from loadgen.checkers.pairing import paired
from loadgen.checkers.prior import with_prior_state
from loadgen.checkers.timeline import timeline
from loadgen.checkers.vacuous import OPERATIONS_MIN
from loadgen.checkers.verdict import NO
from loadgen.files import write_or_tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from loadgen.checkers.verdict import Verdict
    from loadgen.history import Event
    from loadgen.settings import LoadSettings


def finish_history(settings: LoadSettings, folder: Path, say: Callable[[str], None], unwritten: list[str]) -> dict[str, Any] | None:
    """Write and check what was captured.

    Args:
        settings: of the run.
        folder: with the captured files, one of each client process.
        say: told what happens.
        unwritten: takes a line for each file that could not be written.

    Returns:
        The result's ``check``; None if no check was asked for. Of a violation ``history`` and ``pictures`` name the files that tell it.
    """
    captures = [folder / f"captured-{number}" for number in range(settings.clients)]
    if settings.history:
        say(f"writing {settings.history}")
        file, empty = Path(settings.history), bool(settings.local)
        unwritten += write_or_tell(settings.written("history"), file, lambda: history.write(captures, file, begins_empty=empty))
    if not settings.check:
        return None
    say("checking the history")
    begun = monotonic()
    with collector_paused():
        recorded = paired(first(history.merge(captures), settings.check_operations))
    recorded = recorded if settings.local else with_prior_state(recorded)
    verdicts = judge(recorded)
    check = as_json(recorded, verdicts, OPERATIONS_MIN)
    check |= {"seconds": round(monotonic() - begun, 3), "history": settings.history or None, "pictures": []}
    if any(verdict.answer == NO for verdict in verdicts):
        for line in lines(verdicts):
            say(line)
        unwritten += write_or_tell("check:", "what shows the violation", lambda: _keep(settings, captures, verdicts, check, say))
    return check


def first(events: Iterable[Event], operations: int) -> Iterator[Event]:
    """Yield a history's beginning of so many operations, all of it for 0: what holds for the whole holds for any beginning."""
    invoked = 0
    for event in events:
        if event["type"] == "invoke":
            if invoked == operations > 0:
                return
            invoked += 1
        yield event


def _keep(settings: LoadSettings, captures: Sequence[Path], verdicts: Sequence[Verdict], check: dict[str, Any], say: Callable[[str], None]) -> None:
    """Leave the history and pictures of what is wrong beside the other files of the run."""
    beside = Path(settings.history or settings.json or settings.html or "triskele-load")
    if not settings.history:
        check["history"] = str(beside.with_name(f"{beside.stem}-history.jsonl"))
        history.write(captures, Path(check["history"]), begins_empty=bool(settings.local))
    for verdict in verdicts:
        if verdict.counterexample is not None:
            picture = beside.with_name(f"{beside.stem}-{verdict.property}.svg")
            picture.write_text(timeline(verdict.property, verdict.counterexample), encoding="utf-8")
            check["pictures"].append(str(picture))
    say(f"the history is in {check['history']}, pictures in {', '.join(check['pictures'])}; again: triskele check {check['history']}")
