"""What a witness took, as records of the journal: a run is one, and those that stand one behind the other become one of many runs.

A turn brings a run of each session that spoke in it.  A record costs what it costs however many runs it has: to encode, to write, and at a start to
read; so they are joined when the batch is closed.
"""

from __future__ import annotations

from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

from replica.core.messages import Record
from replica.core.witness import value_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.core.journal import JournalRecord
    from replica.core.witness import Run

JOINED_BYTES_MAX = 1 << 20
"""Keys and values in one joined record; a record must fit a segment of the log, which is made ahead."""


def as_record(session: int, run: Run) -> Record:
    """Make the record of a run that a witness holds."""
    return Record([session], [run.first], [len(run.keys)], [0], [run.incomplete], run.kinds, run.keys, run.values)


def join_records(records: list[JournalRecord]) -> list[JournalRecord]:
    """Return records that say the same in the same order, in fewer of them where commands held stand one behind the other."""
    joined: list[JournalRecord] = []
    for kind, group in groupby(records, type):
        some = list(group)
        joined += _join(some) if kind is Record else some  # type: ignore[arg-type]  # all are of this kind
    return joined


def _join(held: list[Record]) -> list[Record]:
    """Join records of commands that are held."""
    if len(held) == 1:
        return held
    joined, some, size_bytes = [], list[Record](), 0
    for record in held:
        more = value_bytes(record.values) + sum(map(len, record.keys))
        if some and size_bytes + more > JOINED_BYTES_MAX:
            joined.append(_as_one(some))
            some, size_bytes = [], 0
        some.append(record)
        size_bytes += more
    joined.append(_as_one(some))
    return joined


def _as_one(held: Sequence[Record]) -> Record:
    def column(name: str) -> list[Any]:
        return list(chain.from_iterable(getattr(record, name) for record in held))

    return Record(
        column("sessions"), column("firsts"), column("counts"), column("previous"), column("incomplete"),
        b"".join(record.kinds for record in held), column("keys"), column("values"),
    )  # fmt: skip
