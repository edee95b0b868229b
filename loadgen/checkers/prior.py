"""What a store held before the history began, where nobody tells: writes of it are put before everything else.

A value that was read and that nobody wrote was there before. There may be several of a key: a replica that is behind tells of older ones. Which of
them the key held when the history began only strong operations tell (a cas whose value was seen is one, whether it was answered or not). Where none
does, and a cas that expected an absent key was refused, the key may have held anything: a value of which nothing is known, or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadgen.checkers.operation import History, Operation
from loadgen.checkers.sources import expectation, readings, values_by_version

if TYPE_CHECKING:
    from collections.abc import Iterable


class _Before:
    """No text and no number, so that no session has the same name."""

    def __str__(self) -> str:
        return "before"


BEFORE: Final = _Before()
"""The process of these writes; they have no order among themselves."""
SOMETHING: Final = b"(something)"
"""A value of which nothing is known, in words."""


def with_prior_state(history: History) -> History:
    """Return a history with writes, before everything else, of what may have been there before it.

    The operations are the same, each at a later place. A write of which no strong operation tells that it was the last one is causal.
    """
    written = {(operation.key, operation.value) for operation in history.operations if operation.value is not None}
    told: dict[tuple[bytes, bytes], bool] = {}  # {key and value: whether a strong operation tells}
    for key, value, strong in _seen(history):
        if (key, value) not in written:
            told[key, value] = strong or told.get((key, value), False)
    known = {key for (key, _), strong in told.items() if strong}
    writes: list[tuple[bytes, bytes | None, bool]] = [(key, value, strong) for (key, value), strong in told.items()]
    refused = (each for each in history.operations if each.refused and each.expected is None and each.expected_version is None)
    for key in dict.fromkeys(cas.key for cas in refused if cas.key not in known):
        something = SOMETHING
        while (key, something) in written or (key, something) in told:
            something += b"?"
        writes += [(key, something, True), (key, None, True)]  # one of both was the last
    before = [
        Operation(
            place,
            0,
            BEFORE,
            "delete" if value is None else "put",
            key,
            value,
            strong,
            number=None,
            invoked=-2,
            invoked_at=0,
            returned=-1,
            answered=True,
        )
        for place, (key, value, strong) in enumerate(writes)
    ]
    for operation in history.operations:
        operation.place += len(before)
    return History(before + history.operations, history.begins_empty and not before)


def _seen(history: History) -> Iterable[tuple[bytes, bytes, bool]]:
    """Yield the values that were seen, with their keys, and whether a strong operation saw them."""
    by_version = values_by_version(history)
    unanswered = {(each.key, each.value): each for each in history.operations if each.kind == "cas" and not (each.answered or each.failed)}
    seen = [(key, value, reader.strong) for reader, key, value, _ in readings(history, by_version) if value is not None]
    for key, value, strong in seen:  # the list grows meanwhile
        yield key, value, strong
        cas = unanswered.pop((key, value), None)
        found = expectation(cas, by_version) if cas is not None else None
        if found is not None and found[2] is not None:
            seen.append((key, found[2], True))
