"""Who leads a cluster, by what its replicas say; and letting another replica lead."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import trio

from triskele.admin_client import post
from triskele.cluster_status import admin_of, gather_status
from triskele.present_members import present_members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.cluster_file import ClusterFile

ASK_SECONDS = 2.0
"""For each replica's answer."""
TRANSFER_SECONDS = 5.0
_POLL_SECONDS = 0.05
_DONE = 200


class LeadershipError(Exception):
    """Nobody leads, or another replica did not take over; the message says what is known."""

    exit_status = 1


@attrs.frozen
class Leading:
    """Who leads, which view, and where its admin listens."""

    id: int
    view: int
    admin: str


@attrs.frozen
class Transfer:
    """Who led, who leads now, and its view."""

    source: int
    target: int
    view: int


def find_leader(cluster: ClusterFile, rows: Sequence[dict[str, Any]]) -> Leading | None:
    """Return who leads the highest view of those that say they lead and serve.

    Args:
        cluster: Who was asked.
        rows: What each said, as ``gather_status`` returns it.
    """
    found = [
        Leading(int(row["id"]), int(row["view"]), admin_of(place))
        for place, row in zip(cluster.replicas, rows, strict=True)
        if row.get("role") == "leader"
    ]
    return max(found, key=lambda leading: leading.view, default=None)


def describe(rows: Sequence[dict[str, Any]]) -> str:
    """Say what each replica is at the moment, in one line."""
    return ", ".join(f"replica {row['id']} {row['error'] if 'error' in row else 'is ' + _role(row)}" for row in rows)


def _role(row: dict[str, Any]) -> str:
    return f"{row.get('role', 'unknown')} in view {row.get('view', '-')}"


async def transfer_leader(cluster: ClusterFile, to: int | None = None, *, timeout: float = TRANSFER_SECONDS) -> Transfer:
    """Let another replica lead, and wait until one does.

    Args:
        cluster: Whose leader.
        to: Who shall lead; None for the follower that is furthest.
        timeout: Seconds to wait after the leader has begun.

    Raises:
        LeadershipError: Nobody leads, the leader refuses, or in time nobody, or somebody else than ``to``, took over.
        AdminUnreachable: The leader did not answer; it may hand over all the same.
    """
    cluster = (await present_members(cluster, ASK_SECONDS)).everybody
    rows = await gather_status(cluster, ASK_SECONDS)
    before = find_leader(cluster, rows)
    if before is None:
        raise LeadershipError(f"nobody leads: {describe(rows)}")
    answer = await post(before.admin, "/transfer-leader" + (f"?to={to}" if to is not None else ""), timeout=ASK_SECONDS)
    if answer.status != _DONE:
        raise LeadershipError(_words(answer.body) or f"replica {before.id} refused (HTTP {answer.status})")
    wanted = json.loads(answer.body).get("to")
    with trio.move_on_after(timeout):
        while True:
            rows = await gather_status(cluster, ASK_SECONDS)
            now = find_leader(cluster, rows)
            if now is not None and now.view > before.view and now.id != before.id:
                if to is not None and now.id != to:
                    raise LeadershipError(f"replica {now.id} leads view {now.view}, not replica {to}")
                return Transfer(before.id, now.id, now.view)
            await trio.sleep(_POLL_SECONDS)
    raise LeadershipError(f"replica {wanted} did not take over within {timeout:g} s: {describe(rows)}")


def _words(body: bytes) -> str:
    """Return the one line of a refusal."""
    return " ".join(body.decode(errors="replace").split())
