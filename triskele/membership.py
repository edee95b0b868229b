"""Who belongs to a cluster, asked of its leader; and changing it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import trio

from triskele.admin_client import AdminUnreachable, get, post
from triskele.cluster_status import gather_status
from triskele.leadership import ASK_SECONDS, LeadershipError, describe, find_leader
from triskele.present_members import present_members

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.cluster_file import ClusterFile
    from triskele.leadership import Leading
    from triskele.present_members import Membership

CHANGE_SECONDS = 10.0
"""For a change to be committed."""
_POLL_SECONDS = 0.05
_DONE = 200


class MembershipError(Exception):
    """A change was refused, or is not known to be committed; the message says why."""

    exit_status = 1


async def read_members(cluster: ClusterFile) -> Membership:
    """Ask the leader who belongs to the cluster.

    Raises:
        LeadershipError: nobody leads.
        MembershipError: the leader does not tell.
        AdminUnreachable: it did not answer.
    """
    leading = await _leader_of(cluster)
    answer = await get(leading.admin, "/members", timeout=ASK_SECONDS)
    if answer.status != _DONE:
        raise MembershipError(f"replica {leading.id} does not tell (HTTP {answer.status})")
    told: Membership = json.loads(answer.body)
    return told


async def add_member(cluster: ClusterFile, member: int, address: str, replaces: int | None = None) -> Membership:
    """Log a learner, in place of a voter if that is given; returns when that is committed. It votes when its replica runs and has caught up.

    Raises:
        MembershipError: refused, or not committed in time.
        LeadershipError: nobody leads.
        AdminUnreachable: the leader did not answer; the change may be made all the same.
    """
    query = {"id": member, "address": address} | ({"replaces": replaces} if replaces is not None else {})
    return await _change(cluster, f"/members/add?{urlencode(query)}", lambda told: member in _ids(told))


async def remove_member(cluster: ClusterFile, member: int) -> Membership:
    """Remove a voter or learner for ever; returns when that is committed, and another leads if it did. Raises as ``add_member`` does."""
    return await _change(cluster, f"/members/remove?id={member}", lambda told: member in told["removed"] and told["leader"] != member)


async def wait_for_voter(cluster: ClusterFile, member: int, timeout: float) -> Membership:
    """Wait until a member votes, and nobody is there any more whom it replaces.

    Raises:
        MembershipError: not in time; the message says how far it is.
    """
    told: Membership | None = None
    with trio.move_on_after(timeout):
        while True:
            told = await _try_read(cluster)
            if told is not None and _votes(told, member) and not told["pending"]:
                return told
            await trio.sleep(_POLL_SECONDS)
    row = next((row for row in (told or {}).get("members", ()) if row["id"] == member), None)
    how_far = "is no member"
    if row is not None:
        how_far = f"is a {row['role']}, {'' if row.get('linked') else 'not '}linked, {row.get('behind', '?')} entries behind"
    raise MembershipError(f"replica {member} does not vote after {timeout:g} s: it {how_far}")


def _votes(told: Membership, member: int) -> bool:
    replaced = any(successor == member for successor, _ in told["replacing"])
    return not replaced and any(row["id"] == member and row["role"] == "voter" for row in told["members"])


def _ids(told: Membership) -> list[int]:
    return [row["id"] for row in told["members"]]


async def _change(cluster: ClusterFile, path: str, made: Callable[[Membership], bool]) -> Membership:
    leading = await _leader_of(cluster)
    answer = await post(leading.admin, path, timeout=ASK_SECONDS)
    if answer.status != _DONE:
        raise MembershipError(" ".join(answer.body.decode(errors="replace").split()) or f"replica {leading.id} refused (HTTP {answer.status})")
    told: Membership | None = None
    with trio.move_on_after(CHANGE_SECONDS):
        while True:
            told = await _try_read(cluster)
            if told is not None and not told["pending"] and made(told):
                return told
            await trio.sleep(_POLL_SECONDS)
    raise MembershipError(f"the change is not committed after {CHANGE_SECONDS:g} s: ask again with triskele members list (it may come yet)")


async def _leader_of(cluster: ClusterFile) -> Leading:
    """Find the leader, also one that came by a change and is in no file."""
    present = (await present_members(cluster, ASK_SECONDS)).everybody
    rows = await gather_status(present, ASK_SECONDS)
    leading = find_leader(present, rows)
    if leading is None:
        raise LeadershipError(f"nobody leads: {describe(rows)}")
    return leading


async def _try_read(cluster: ClusterFile) -> Membership | None:
    try:
        return await read_members(cluster)
    except (LeadershipError, AdminUnreachable):
        return None  # an election is under way
