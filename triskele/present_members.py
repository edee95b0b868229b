"""Who belongs to a cluster at this moment, asked of whoever of a cluster file answers.

A file tells who belonged to the cluster when it was written.  Since then members may have come, which stand in no file, and gone, which answer still.
Every replica tells the configuration that its log has, and where the members listen; the word of the one that leads the highest view counts, then
that of the newest configuration.  It may name replicas that nobody asked, who may know better: so those are asked too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import trio

from replica.address import AddressError, readable_address
from replica.cluster_file import ReplicaPlace
from triskele.admin_client import AdminUnreachable, get
from triskele.cluster_status import admin_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from replica.cluster_file import ClusterFile

Membership = dict[str, Any]
"""What ``/members`` tells: ``id, config_id, leader, view, pending, members [{id, role, address, websocket, admin, linked, behind}], replacing,
removed``; ``linked`` and ``behind`` only from a leader."""

Answers = dict[str, tuple[ReplicaPlace, Membership | None]]
"""``{admin address: (who was asked, what it told)}``; None: nothing."""

_DONE = 200
_TOLD = {"id", "config_id", "leader", "view", "members"}
_ROUNDS = 2
"""How often those are asked too that only the others name: each round may name more."""


@attrs.frozen
class Present:
    """Who is there.

    Attributes:
        members: The cluster's members, with what is known of where they listen; the file's replicas if nobody told.
        voters: Those of them that vote.
        everybody: The members, and whoever else of the file answers: a leader that leaves leads until another can.
        told: Whose word it is, None if nobody told.
    """

    members: ClusterFile
    voters: ClusterFile
    everybody: ClusterFile
    told: Membership | None = None


async def present_members(cluster: ClusterFile, timeout: float) -> Present:
    """Find out who belongs to a cluster.

    Args:
        cluster: Whom to ask first. Where its ids are none (a list of addresses), the replicas' answers tell theirs.
        timeout: Seconds for each replica's answer.
    """
    answers = await _ask(cluster.replicas, timeout)
    told = _newest(answers)
    for _ in range(_ROUNDS):
        unasked = [place for place in _places(cluster, told, answers).values() if admin_of(place) not in answers] if told else []
        if not unasked:
            break
        answers |= await _ask(unasked, timeout)
        told = _newest(answers)
    if told is None:
        return Present(cluster, cluster, cluster)
    places = _places(cluster, told, answers)
    voting = {row["id"] for row in told["members"] if row["role"] == "voter"}
    others = {answer["id"]: attrs.evolve(place, id=answer["id"]) for place, answer in answers.values() if answer and answer["id"] not in places}
    return Present(
        _file(cluster, places.values()), _file(cluster, (place for place in places.values() if place.id in voting)),
        _file(cluster, (*places.values(), *others.values())), told,
    )  # fmt: skip


async def _ask(places: Iterable[ReplicaPlace], timeout: float) -> Answers:
    """Ask replicas whose admin address is known or can be guessed, all at once."""
    found: Answers = {}

    async def ask(place: ReplicaPlace, admin: str) -> None:
        answer: Membership | None = None
        try:
            page = await get(admin, "/members", timeout=timeout)
            told = json.loads(page.body) if page.status == _DONE else None
            answer = told if isinstance(told, dict) and told.keys() >= _TOLD else None
        except (AdminUnreachable, AddressError, ValueError):
            pass  # it cannot be asked, starts still, or is no replica; the others can tell
        found[admin] = place, answer

    async with trio.open_nursery() as nursery:
        for place in places:
            if admin := admin_of(place):
                nursery.start_soon(ask, place, admin)
    return found


def _newest(answers: Answers) -> Membership | None:
    """Return whose word counts."""
    return max((answer for _, answer in answers.values() if answer is not None), key=_weight, default=None)


def _weight(told: Membership) -> tuple[int, bool, int]:
    return told["view"], told["leader"] == told["id"], told["config_id"]


def _places(cluster: ClusterFile, told: Membership, answers: Answers) -> dict[int, ReplicaPlace]:
    """Return where each member listens: by its own answer, by the file, by what the others told."""
    known = {place.id: place for place in cluster.replicas if (answers.get(admin_of(place)) or (place, None))[1] is None}
    for place, answer in answers.values():
        if answer is not None and (answer["id"] == place.id or answer["id"] not in known):
            known[answer["id"]] = place
    places = {}
    for row in told["members"]:
        member: int = row["id"]
        place, there = known.get(member, ReplicaPlace(id=member)), place_told(row)
        places[member] = attrs.evolve(
            place, id=member, address=place.address or there.address, websocket=place.websocket or there.websocket, admin=place.admin or there.admin
        )  # fmt: skip
    return places


def place_told(row: Mapping[str, Any]) -> ReplicaPlace:
    """Return where a member listens, as ``/members`` tells it, without what is no address: it is in nobody's way, and in no file that others read."""
    address, websocket, admin = (readable_address(row.get(kind, "")) for kind in ("address", "websocket", "admin"))
    return ReplicaPlace(id=row["id"], address=address, websocket=websocket, admin=admin)


def _file(cluster: ClusterFile, places: Iterable[ReplicaPlace]) -> ClusterFile:
    return attrs.evolve(cluster, replicas=tuple(sorted(places, key=lambda place: place.id)))
