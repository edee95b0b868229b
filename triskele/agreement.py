"""Compares the states of all replicas of a cluster by their hashes: the check that replication is for.

A hash counts for the position it was taken at, so only hashes at one position can be compared.  While commands come in, replicas are asked at
different positions; what each said is kept, and they are asked again until one position is known from all, or the time is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs
import trio

from triskele.cluster_status import gather_status
from triskele.present_members import present_members

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    last: dict[int, dict[str, Any]] = attrs.field(factory=dict)  # {replica id: its last answer}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The last answers, by id."""
        return [self.last[replica] for replica in sorted(self.last)]

    def take(self, row: dict[str, Any]) -> None:
        """Take a replica's answer."""
        self.last[row["id"]] = row
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

    def give_up(self, asked: Iterable[int], timeout: float) -> Agreement:
        """Say why nothing is certain after so many seconds; ``asked``: who should have answered."""
        for replica in asked:
            self.last.setdefault(replica, {"id": replica, "error": f"no answer within {timeout:g} s"})
        agreement = self.judge()
        if agreement is not None:
            return agreement
        waiting = [row["id"] for row in self.rows if "error" not in row and row.get("state_hash") is None]
        if waiting:
            return Agreement("unknown", why=f"still counting the state hash: replica {', '.join(map(str, waiting))}")
        at = ", ".join(f"replica {row['id']} at {row['applied']}" for row in self.rows if "error" not in row)
        return Agreement("unknown", why=f"positions differ: {at}" if at else "no replica answered")


async def compare_states(cluster: ClusterFile, timeout: float = COMPARE_SECONDS) -> Agreement:
    """Compare the states of all voters at one position.

    Args:
        cluster: Whose replicas; who votes by now is asked of them.
        timeout: Seconds to find such a position in.
    """
    said, voters = _Said(), cluster
    with trio.move_on_after(timeout):
        voters = (await present_members(cluster, min(_ASK_SECONDS, timeout / 2))).voters
        while True:
            await gather_status(voters, _ASK_SECONDS, said.take)
            agreement = said.judge()
            if agreement is not None:
                return agreement
            await trio.sleep(_POLL_SECONDS)
    return said.give_up((place.id for place in voters.replicas), timeout)
