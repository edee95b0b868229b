"""Reads over the applied state: a column of keys and scans in, columns of values and versions out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.core.messages import Query, Value
    from statemachine.store import Store

    Answer = tuple[list[int], list[int], list[int], list[Value], list[int], int]
    """(sessions, firsts, counts, values, versions, bytes of the values)."""


def query(store: Store, position: int, queries: Sequence[Query]) -> tuple[list[Value], list[int]]:
    """Read a column of queries.

    Args:
        store: the applied state.
        position: how long the applied prefix is.
        queries: keys and scans.

    Returns:
        (values, versions): for a key its value (None if absent) and version (0 if it never existed; a tombstone's for the floor); for a
        scan ``[rows, more]`` with rows ``[key, value, version]``, and ``position``: a scan also sees what is not there (any more), so that
        no version of its rows can stand for what its session has seen.
    """
    try:
        return store.read(queries)  # type: ignore[arg-type,return-value]
    except TypeError:  # a scan is a list, which is no key: look at each
        pass
    values: list[Value] = []
    versions: list[int] = []
    for item in queries:
        if isinstance(item, bytes):
            value, version = store.get_entry(item)
            values.append(value)
            versions.append(version)
        else:
            start, end, limit = item
            assert isinstance(start, bytes)
            assert isinstance(end, bytes | None)
            assert isinstance(limit, int)
            rows, more = store.scan(start, end, limit)
            values.append([rows, more])
            versions.append(position)
    return values, versions


LARGE_BYTES = 1 << 12
"""Sections from this size on are counted against a frame's limit."""
ANSWER_BYTES_MAX = 1 << 20
"""Values in one section of answers; more go in several."""


def pieces(sessions: list[int], firsts: list[int], counts: list[int], values: list[Value], versions: list[int]) -> list[Answer]:
    """Cut columns of answers into sections of about ``ANSWER_BYTES_MAX`` of values; nearly always they are one.

    Returns:
        Columns of runs; a run may be cut, its parts follow each other.
    """
    sizes = [len(value) if value.__class__ is bytes else 0 if value is None else _size(value) for value in values]
    total = sum(sizes)
    if total <= ANSWER_BYTES_MAX:
        return [(sessions, firsts, counts, values, versions, total)]
    found: list[Answer] = []
    end = 0
    for session, first, count in zip(sessions, firsts, counts, strict=True):
        start, end = end, end + count
        at = start
        while at < end:
            upto, size = at + 1, sizes[at]
            while upto < end and size + sizes[upto] <= ANSWER_BYTES_MAX:
                size += sizes[upto]
                upto += 1
            found.append(([session], [first + at - start], [upto - at], values[at:upto], versions[at:upto], size))
            at = upto
    return found


def _size(value: Value) -> int:
    """Return the bytes of a scan's page (0 for an absent value)."""
    if not isinstance(value, list):
        return 0
    rows = value[0]
    assert isinstance(rows, list)
    return sum(len(row[0]) + len(row[1]) for row in rows)
