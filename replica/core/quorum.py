"""How many is enough.

Among ``n = 2f + 1`` voters a majority commits; the fast path needs the superquorum ``k = ceil(3f/2) + 1`` with the leader in it, so that
any majority a new leader hears holds more acceptances of a fast-completed command than a rival could have gathered (Park & Ousterhout,
NSDI'19, section on consensus).  With ``m`` heard replicas at least ``k + m - n`` accepted it, and that must be more than half of ``m``:
hence the one formula below, which is ``ceil(3f/2) + 1`` for odd ``n``.
"""

from __future__ import annotations


def majority(voters: int) -> int:
    """Return the size of the smallest set of which any two intersect."""
    return voters // 2 + 1


def fast_quorum(voters: int) -> int:
    """Return how many voters, the leader among them, must accept a command for it to complete in one round trip.

    Returns:
        3 of 3, 4 of 5, 6 of 7, 7 of 9.
    """
    return (2 * voters - majority(voters)) // 2 + 1


def recovery_threshold(voters: int, heard: int) -> int:
    """Return how many of ``heard`` replicas must hold a command as accepted for a new leader to treat it as fast-completed.

    Args:
        voters: size of the configuration.
        heard: replicas heard from, at least a majority.
    """
    assert heard >= majority(voters), "recovery hears a majority"
    return fast_quorum(voters) + heard - voters
