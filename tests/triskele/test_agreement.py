from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from replica.admin import json_page
from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.listening import bound_address, open_socket
from tests.triskele.admin_stand import stand
from triskele.agreement import Agreement, compare_states

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def at(replica_id: int, position: int, state_hash: str | None = "aa") -> dict[str, Any]:
    return {"id": replica_id, "applied": position, "state_hash": state_hash}


async def test_one_state_at_one_position_is_equal() -> None:
    async with stand(at(0, 7), at(1, 7), at(2, 7)) as stood:
        assert await compare_states(stood.cluster) == Agreement("equal", 7, {0: "aa", 1: "aa", 2: "aa"})


async def test_two_states_at_one_position_are_divergent_whatever_the_others_say() -> None:
    async with stand(at(0, 7), at(1, 7, "bb"), at(2, 9), None) as stood:
        assert await compare_states(stood.cluster) == Agreement("divergent", 7, {0: "aa", 1: "bb"})


async def test_replicas_are_asked_again_until_they_were_all_at_one_position() -> None:
    async with stand(at(0, 1), at(1, 2)) as stood:
        asked = 0

        def go_on() -> None:
            nonlocal asked
            asked += 1
            if asked == 3:  # the second round: replica 1 is where replica 0 was asked before, and that one is further
                stood.rows[:] = [at(0, 2), at(1, 3)]

        stood.on_status = go_on
        assert await compare_states(stood.cluster) == Agreement("equal", 2, {0: "aa", 1: "aa"})


async def test_a_hash_that_is_not_counted_yet_is_waited_for() -> None:
    async with stand(at(0, 7), at(1, 7, None)) as stood:
        asked = 0

        def count() -> None:
            nonlocal asked
            asked += 1
            if asked == 5:
                stood.rows[1] = at(1, 7)

        stood.on_status = count
        assert (await compare_states(stood.cluster)).verdict == "equal"
        stood.rows[1] = at(1, 7, None)
        assert await compare_states(stood.cluster, 0.2) == Agreement("unknown", why="still counting the state hash: replica 1")


async def test_positions_that_never_meet_are_told() -> None:
    async with stand(at(0, 1), at(1, 2)) as stood:
        assert await compare_states(stood.cluster, 0.2) == Agreement("unknown", why="positions differ: replica 0 at 1, replica 1 at 2")


async def test_a_replica_that_cannot_be_asked_leaves_it_unknown_at_once() -> None:
    async with stand(at(0, 7), at(1, 7), None) as stood:
        found = await compare_states(stood.cluster)
        assert (found.verdict, found.position, found.hashes) == ("unknown", 7, {0: "aa", 1: "aa"})
        assert found.why.startswith("replica 2: http://")
        assert found.why.endswith("Connection refused")
    async with stand(None, None) as stood:
        found = await compare_states(stood.cluster)
        assert (found.verdict, found.position, found.why.count("Connection refused")) == ("unknown", None, 2)


async def test_a_replica_that_stands_still_is_named_and_the_others_are_told() -> None:
    async with stand(at(0, 7), at(1, 7), at(2, 7)) as stood, silent() as admin:
        places = (*stood.cluster.replicas[:2], ReplicaPlace(id=2, admin=admin))
        found = await compare_states(ClusterFile(replicas=places), 1.0)
    assert found == Agreement("unknown", 7, {0: "aa", 1: "aa"}, "replica 2: no answer within 1 s")


async def test_who_votes_is_compared_whatever_the_file_says() -> None:
    async with stand(at(0, 7), at(1, 3, "old"), at(2, 7)) as stood:
        admin = stood.cluster.replicas[2].admin
        rows = [
            {"id": 0, "role": "voter", "address": ""},
            {"id": 2, "role": "voter", "address": "", "admin": admin},
            {"id": 9, "role": "learner", "address": ""},
        ]
        stood.on_members = lambda: json_page({"id": 0, "leader": 0, "view": 1, "config_id": 5, "members": rows})
        assert await compare_states(ClusterFile(replicas=stood.cluster.replicas[:2])) == Agreement("equal", 7, {0: "aa", 2: "aa"})


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """An admin of a stopped process: connections are taken by the kernel, and nobody answers."""
    with open_socket("127.0.0.1:0") as opened:
        yield f"http://{bound_address(opened)}"
        await trio.lowlevel.checkpoint()
