"""Read your writes: a session's own writes that its home has not applied yet, laid over what the home answers.

Also remembers the own cas whose outcomes are not known: a causal read behind one must see what it saw, so its answer waits.

What must not live here: floors, tallies, when anything is sent (``session``).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from statemachine.command import CAS_VALUE, CAS_VERSION

if TYPE_CHECKING:
    from replica.core.messages import Query, Value
    from replica.core.witness import Run


@attrs.define(eq=False)
class OwnWrites:
    """One session's writes on their way to its home."""

    newest: dict[bytes, tuple[int, bytes | None]] = attrs.Factory(dict)
    # {key: own newest write not yet applied at home: (number, value)}
    order: deque[tuple[int, bytes, bytes | None]] = attrs.Factory(deque)
    """Own writes not yet applied at home, in about their order: (number, key, value)."""
    unsure: dict[bytes, list[int]] = attrs.Factory(dict)
    # {key: numbers of own cas whose outcomes are not known yet, ascending}

    def note(self, run: Run) -> None:
        """Note a run of blind writes. Mostly it is one or two: a loop is faster than columns up to a dozen."""
        newest, order = self.newest, self.order
        for number, (key, value) in enumerate(zip(run.keys, run.values, strict=True), run.first):
            newest[key] = (number, value)  # type: ignore[assignment]  # a blind write's value is bytes or None
            order.append((number, key, value))  # type: ignore[arg-type]

    def note_each(self, run: Run) -> None:
        """Note a run with cas in it: those may change their keys, the blind writes do."""
        for number, kind, key, value in zip(range(run.first, run.last + 1), run.kinds, run.keys, run.values, strict=True):
            if kind in (CAS_VALUE, CAS_VERSION):
                self.unsure.setdefault(key, []).append(number)
            else:
                assert value is None or isinstance(value, bytes)
                self.newest[key] = (number, value)
                self.order.append((number, key, value))

    def succeed(self, number: int, key: bytes, value: bytes) -> None:
        """Note that an own cas wrote."""
        if self.newest.get(key, (0, None))[0] < number:
            self.newest[key] = (number, value)
        self.order.append((number, key, value))

    def settle(self, number: int, key: bytes) -> None:
        """Note that the outcome of an own cas is known."""
        unsure = self.unsure.get(key)
        if unsure is not None:
            unsure.remove(number)
            if not unsure:
                del self.unsure[key]

    def unsure_before(self, number: int) -> bool:
        """Whether the outcome of an own cas up to ``number`` is not known: a read behind it must see what it saw."""
        return any(numbers[0] <= number for numbers in self.unsure.values())

    def drop(self, upto: int) -> None:
        """Forget the writes up to ``upto``: the home has applied them."""
        order, newest = self.order, self.newest
        while order and order[0][0] <= upto:
            key = order.popleft()[1]
            if key in newest and newest[key][0] <= upto:
                del newest[key]

    def lay_over(self, queries: list[Query], values: list[Value], versions: list[int], applied: int, dependency: int) -> bool:
        """Lay the writes above ``applied`` over a home's answers, in place.

        Args:
            queries: keys and scans.
            values: the answers; changed where an own write is newer.
            versions: 0 where an own write was laid over.
            applied: the session's last command that the answers show.
            dependency: the last command issued before the reads.

        Returns:
            Whether a scan was among them.
        """
        newest = self.newest
        try:
            if newest.keys().isdisjoint(queries):
                return False
        except TypeError:  # a scan is a list, which is no key
            pass
        scans = False
        for place, item in enumerate(queries):
            if isinstance(item, bytes):
                own = newest.get(item)
                if own is not None and own[0] > applied:
                    values[place], versions[place] = own[1], 0
            else:
                scans = True
                values[place] = overlay_rows(values[place], item, self._among(applied, dependency))
        return scans

    def _among(self, after: int, upto: int) -> dict[bytes, tuple[int, bytes | None]]:
        """Return the newest own write of each key among some numbers.

        A scan is one moment: own writes issued after it may follow what this session saw after it, and do not belong there.
        """
        newest: dict[bytes, tuple[int, bytes | None]] = {}
        for number, key, value in self.order:
            if after < number <= upto and newest.get(key, (0, None))[0] < number:
                newest[key] = (number, value)
        return newest


def _within(key: bytes, scan: list[object]) -> bool:
    start, end = scan[0], scan[1]
    assert isinstance(start, bytes)
    return start <= key and (not isinstance(end, bytes) or key < end)


def overlay_rows(answer: Value, scan: list[object], own: dict[bytes, tuple[int, bytes | None]]) -> Value:
    """Lay own pending writes over one page of a scan.

    Args:
        answer: ``[rows, more]`` from the replica.
        scan: ``[start, end, limit]``.
        own: own writes by key that are not in the rows.

    Returns:
        ``[rows, more]``; own deletes shorten a page, own inserts beyond its last row are left for the next page when there is more.
        ``more`` is then the key from which to go on: the page's last row may be an own delete.
    """
    assert isinstance(answer, list)
    rows, more = answer[0], answer[1]
    assert isinstance(rows, list)
    merged = {row[0]: row for row in rows}
    limit = scan[2]
    assert isinstance(limit, int)
    for key, (_, value) in own.items():
        if _within(key, scan):
            if value is None:
                merged.pop(key, None)
            elif not more or key <= rows[-1][0]:
                merged[key] = [key, value, 0]
    kept = [merged[key] for key in sorted(merged)]
    if len(kept) > limit:
        return [kept[:limit], True]
    return [kept, rows[-1][0] + b"\0" if more else False]
