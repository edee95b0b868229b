"""Reads over the applied state: a column of keys and scans in, columns of values and versions out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.core.messages import Query, Value
    from statemachine.store import Store


def query(store: Store, queries: Sequence[Query]) -> tuple[list[Value], list[int]]:
    """Read a column of queries.

    Returns:
        (values, versions): for a key its value (None if absent) and version (0 if it never existed; a tombstone's for the floor); for a
        scan ``[rows, more]`` with rows ``[key, value, version]``, and the newest version among the rows.
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
            versions.append(max((row[2] for row in rows), default=0))  # type: ignore[arg-type,type-var]
    return values, versions
