"""Compares the states of all replicas of a cluster by their hashes: the check that replication is for.

A hash counts for the position it was taken at, so only hashes at one position can be compared.  While commands come in, replicas are asked at
different positions; what each said is kept, and they are asked again until one position is known from all, or the time is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs
import trio

from triskele.cluster_status import gather_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.cluster_file import ClusterFile

COMPARE_SECONDS = 10.0
_ASK_SECONDS = 2.0
_POLL_SECONDS = 0.05


@attrs.frozen
class Agreement:
    """What came of a comparison.

    Attributes:
        verdict: equal: all replicas have one state; divergent: two have different ones at one position; unknown: it could not be found out.
        position: The one that was compared at, None if there is none.
        hashes: ``{replica id: hash}`` at it, hexadecimal; with ``unknown`` those that are known.
        why: With ``unknown``, in words.
    """

    verdict: Literal["equal", "divergent", "unknown"]
    position: int | None = None
    hashes: dict[int, str] = attrs.field(factory=dict)
    why: str = ""


@attrs.define
class _Said:
    """What the replicas said so far."""

    hashes: dict[int, dict[int, str]] = attrs.field(factory=dict)  # {position: {replica id: hash}}
    rows: Sequence[dict[str, Any]] = ()  # the last answers

    def take(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = rows
        for row in rows:
            if row.get("state_hash") is not None:
                self.hashes.setdefault(row["applied"], {})[row["id"]] = row["state_hash"]

    def judge(self) -> Agreement | None:
        """Return what is certain by now; None if asking again may help."""
        for position, hashes in self.hashes.items():
            if len(set(hashes.values())) > 1:
                return Agreement("divergent", position, hashes)
        ids = {row["id"] for row in self.rows if "error" not in row}
        errors = ", ".join(f"replica {row['id']}: {row['error']}" for row in self.rows if "error" in row)
        if not ids:
            return Agreement("unknown", why=errors)
        for position, hashes in self.hashes.items():
            if hashes.keys() >= ids:
                return Agreement("unknown" if errors else "equal", position, hashes, errors)
        return None

    def give_up(self) -> Agreement:
        """Say why nothing is certain."""
        waiting = [row["id"] for row in self.rows if "error" not in row and row.get("state_hash") is None]
        if waiting:
            return Agreement("unknown", why=f"still counting the state hash: replica {', '.join(map(str, waiting))}")
        at = ", ".join(f"replica {row['id']} at {row['applied']}" for row in self.rows if "error" not in row)
        return Agreement("unknown", why=f"positions differ: {at}" if at else "no replica answered")


async def compare_states(cluster: ClusterFile, timeout: float = COMPARE_SECONDS) -> Agreement:
    """Compare the states of all replicas at one position.

    Args:
        cluster: Whose replicas.
        timeout: Seconds to find such a position in.
    """
    said = _Said()
    with trio.move_on_after(timeout):
        while True:
            said.take(await gather_status(cluster, _ASK_SECONDS))
            agreement = said.judge()
            if agreement is not None:
                return agreement
            await trio.sleep(_POLL_SECONDS)
    return said.give_up()
