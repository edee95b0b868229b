"""``triskele check``: checks a recorded history; status 0 if all that was asked for holds, 1 violated, 2 unreadable, 3 unknown or vacuous."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from triskele.cli.arguments import add_output_argument, seconds
from triskele.cli.framework import complain

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from loadgen.checkers.verdict import Verdict

EXAMPLES = (
    "triskele check history.jsonl                                        # all properties of a run of `triskele load --history`",
    "triskele check jepsen.edn --property linearizable --svg wrong.svg   # another store's history; a picture of what is wrong",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    from loadgen.checkers.formats import FORMATS
    from loadgen.checkers.judge import SECONDS_DEFAULT
    from loadgen.checkers.verdict import PROPERTIES

    parser.add_argument("history", metavar="HISTORY", type=Path, help="the file; keys are absent before it begins, if it does not say otherwise")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="jsonl: triskele's own; edn: Jepsen's; jepsen-log: Jepsen's text log (default: what the file looks like)",
    )
    parser.add_argument(
        "--property",
        action="append",
        choices=PROPERTIES,
        help="what to check; may be given several times (default: all for jsonl, linearizable for the others)",
    )
    parser.add_argument(
        "--time-limit",
        metavar="SECONDS",
        type=seconds(),
        default=SECONDS_DEFAULT,
        help=f"linearizability is unknown if it cannot be judged by then (default {SECONDS_DEFAULT:g})",
    )
    parser.add_argument("--prior-state", action="store_true", help="values that nobody wrote were there before, though the file does not say so")
    parser.add_argument("--svg", metavar="FILE", type=Path, help="draw the first violation found; no file if nothing is violated")
    add_output_argument(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    from loadgen.checkers.formats import format_of, read
    from loadgen.checkers.judge import as_json, judge, lines
    from loadgen.checkers.operation import Unreadable
    from loadgen.checkers.prior import with_prior_state
    from loadgen.checkers.verdict import PROPERTIES

    form = arguments.format or format_of(arguments.history)
    properties = arguments.property or (PROPERTIES if form == "jsonl" else ("linearizable",))
    try:
        history = read(arguments.history, form)
        if arguments.prior_state or not history.begins_empty:
            history = with_prior_state(history)
        verdicts = judge(history, properties, arguments.time_limit)
    except Unreadable as unreadable:
        complain(f"{arguments.history}: {unreadable}")
        return unreadable.exit_status
    found = as_json(history, verdicts)
    if arguments.output == "json":
        print(json.dumps({"history": str(arguments.history), "format": form, **found}, indent=1))
    else:
        print("\n".join([*lines(verdicts), *([f"vacuous: {found['vacuous']}"] if found["vacuous"] else [])]))
    if arguments.svg is not None:
        _draw(verdicts, arguments.svg)
    return exit_status(verdicts, vacuous=bool(found["vacuous"]))


def exit_status(verdicts: Sequence[Verdict], *, vacuous: bool = False) -> int:
    """Return 1 if something is violated, else 3 if something is unknown or nothing could have been violated, else 0."""
    from loadgen.checkers.judge import answer_of
    from loadgen.checkers.verdict import NO, UNKNOWN

    return {NO: 1, UNKNOWN: 3}.get(answer_of(verdicts), 3 if vacuous else 0)


def _draw(verdicts: Sequence[Verdict], file: Path) -> None:
    from loadgen.checkers.timeline import timeline
    from triskele.cli.framework import CommandFailed

    for verdict in verdicts:
        if verdict.counterexample is not None:
            try:
                file.write_text(timeline(verdict.property, verdict.counterexample), encoding="utf-8")
            except OSError as error:
                raise CommandFailed(f"--svg {file}: {error.strerror or error}") from None
            return
