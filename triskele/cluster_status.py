"""Asks every replica of a cluster for its status, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from replica.address import PORT_MAX, join_address, readable_address, split_address
from triskele.admin_client import AdminUnreachable, get_status
from triskele.cluster_ports import ADMIN_OFFSET

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.cluster_file import ClusterFile, ReplicaPlace


def admin_of(place: ReplicaPlace) -> str:
    """Return a replica's admin address; for one known by its native address alone, where ``triskele up`` puts it. Empty if it cannot be known."""
    if place.admin or not readable_address(place.address):
        return place.admin
    host, port = split_address(place.address)
    return f"http://{join_address(host, port + ADMIN_OFFSET)}" if port + ADMIN_OFFSET <= PORT_MAX else ""


async def gather_status(cluster: ClusterFile, timeout: float, take: Callable[[dict[str, Any]], object] = lambda _row: None) -> list[dict[str, Any]]:
    """Return the status of every replica in the order of the cluster file.

    Args:
        cluster: Whose.
        timeout: Seconds for each.
        take: Given each when it comes: not all may have come when the caller's own time is over.

    Returns:
        What ``/status`` says, or ``{"id": …, "error": why}``.
    """
    found: dict[int, dict[str, Any]] = {}

    async def ask(number: int, place: ReplicaPlace) -> None:
        admin = admin_of(place)
        if not admin:
            found[number] = {"id": place.id, "error": "no admin address is known: give a ready file, a cluster TOML or http://HOST:PORT"}
            return
        try:
            found[number] = await get_status(admin, timeout=timeout)
        except AdminUnreachable as error:
            hint = "" if place.admin else " (guessed: the native port and 200; a ready file or http://HOST:PORT tells the true one)"
            found[number] = {"id": place.id, "error": f"{error}{hint}"}
        take(found[number])

    async with trio.open_nursery() as nursery:
        for number, place in enumerate(cluster.replicas):
            nursery.start_soon(ask, number, place)
    return [found[number] for number in range(len(cluster.replicas))]
