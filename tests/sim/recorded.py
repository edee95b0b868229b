"""A run's history as checkers of recorded histories read it: they know nothing of the log, and must agree with the certificate.

The certificate and the graph stand on the log. The checkers of ``loadgen.checkers`` stand on what clients saw, so that a run is judged twice by
rules that share nothing; and a checker that is wrong shows here, on the histories of every seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadgen.checkers.judge import judge
from loadgen.checkers.operation import NEVER, Operation
from loadgen.checkers.operation import History as Recorded
from loadgen.checkers.verdict import NO
from statemachine.command import CAS_VALUE, CAS_VERSION, DELETE
from tests.sim.history import Violation

if TYPE_CHECKING:
    from tests.sim.history import History
    from tests.sim.history import Operation as Simulated

SECONDS = 1.0
"""Time limit of the search for a linearization; a verdict that is unknown is no violation."""


def check_recorded(history: History) -> None:
    """Judge a run by what its clients saw alone.

    Raises:
        Violation: a promise was broken.
    """
    for verdict in judge(recorded(history), seconds=SECONDS):
        if verdict.answer == NO:
            assert verdict.counterexample is not None
            raise Violation(f"black box: {verdict.property}: " + "\n".join(verdict.counterexample.lines()))


def recorded(history: History) -> Recorded:
    """Return a run's history as the load generator would have recorded it.

    Answers come before what is asked in the same turn of a client.
    """
    simulated = [operation for track in history.tracks for operation in track.operations]
    simulated.sort(key=lambda operation: (operation.invoked, operation.session, operation.place))
    return Recorded([_recorded(operation, place) for place, operation in enumerate(simulated)])


def _recorded(simulated: Simulated, place: int) -> Operation:
    scan: list[Any] | None = simulated.query if isinstance(simulated.query, list) else None
    key = simulated.key if simulated.number else scan[0] if scan else simulated.query
    assert isinstance(key, bytes)
    operation = Operation(
        place, place + 1, f"s{simulated.session}", "get", key, None, simulated.strong, simulated.number or None,
        2 * simulated.invoked + 1, int(simulated.invoked_at * 1e9),
    )  # fmt: skip
    if simulated.returned:
        operation.answered, operation.returned, operation.returned_at = True, 2 * simulated.returned, int(simulated.returned_at * 1e9)
        assert operation.returned > operation.invoked
    if simulated.number:
        _command(operation, simulated)
    elif scan:
        operation.kind, operation.end, operation.limit = "scan", scan[1], scan[2]
        page: Any = simulated.result
        if page is not None:
            operation.more, operation.rows = page[1], tuple((key, value, version) for key, value, version in page[0])
    else:
        assert simulated.result is None or isinstance(simulated.result, bytes)
        operation.seen, operation.version = simulated.result, simulated.version
    return operation


def _command(operation: Operation, simulated: Simulated) -> None:
    value = simulated.value
    if simulated.kind == DELETE:
        operation.kind = "delete"
    elif simulated.kind in (CAS_VALUE, CAS_VERSION):
        assert isinstance(value, list)
        operation.kind, operation.value = "cas", value[1]
        if simulated.kind == CAS_VALUE:
            operation.expected = value[0]
        else:
            operation.expected_version = value[0] or None
        if operation.returned != NEVER and not simulated.result:
            operation.answered, operation.failed, operation.refused = False, True, True
    else:
        assert isinstance(value, bytes)
        operation.kind, operation.value = "put", value
