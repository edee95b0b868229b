"""Whether a history could have shown a broken promise at all: one in which nobody read what another wrote holds whatever the store did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from loadgen.checkers.operation import History

OPERATIONS_MIN: Final = 100
"""Of a run whose check is to mean something; a history that somebody wrote down may be as short as its point is."""
_SEVERAL: Final = -1


def vacuous(history: History, operations_min: int = 0) -> str:
    """Return why a history proves nothing, empty if it does.

    Args:
        history: Any.
        operations_min: So many operations must have been answered.
    """
    operations = [operation for operation in history.operations if not operation.prior]
    answered = sum(operation.answered or operation.refused for operation in operations)
    if answered < operations_min or not answered:
        return f"{answered:,} operations were answered" + (f", fewer than {operations_min:,}" if answered else "")
    writers: dict[bytes, int] = {}  # {key: place of the operation that writes it, or that there are several}
    for operation in operations:
        if not operation.reads_only and (not operation.failed or operation.refused):
            writers[operation.key] = _SEVERAL if operation.key in writers else operation.place
    keys = sorted(writers)
    for operation in operations:
        tells = operation.kind in {"get", "cas"} and (operation.answered or operation.refused)
        if tells and writers.get(operation.key, operation.place) != operation.place:
            return ""
        if operation.kind == "scan" and operation.answered and operation.covered(keys):
            return ""
    return "no key was written by one operation and read by another"
