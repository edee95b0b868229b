from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from replica.admin import Page, Stream
from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.core.messages import AcceptAck
from replica.operations import Operations
from replica.snapshot_file import read_snapshot
from replica.whereabouts import Whereabouts
from tests.replica.core.lone import CLIENT, Lone, accept, noop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from statemachine.store import Store


CLUSTER = ClusterFile(replicas=tuple(ReplicaPlace(id=number, address=f"h:{number + 1}", admin=f"http://h:{number + 11}") for number in range(3)))


def operations(lone: Lone, wake: Callable[[], None] = lambda: None) -> Operations:
    return Operations(lone.replica, lone.replica.hand_over, wake, Whereabouts(lone.replica, CLUSTER))


def leader() -> Lone:
    lone = Lone(0)
    lone.turn()
    return lone


def follower() -> Lone:
    lone = Lone(1)
    lone.tell(0, accept(1, (0, 0), noop(1, 1), noop(2, 1), commit=2))
    return lone


def asked(lone: Lone, **query: str) -> tuple[int, str]:
    page = operations(lone).transfer_leader(query)
    return page.status, page.body.decode().strip()


def fill(store: Store, count: int, value: bytes, first: int = 1) -> None:
    store.apply(bytes(count), [b"%06d" % number for number in range(count)], [value] * count, first)


def opened() -> Lone:
    """A leader whose view is open."""
    lone = leader()
    lone.tell(1, AcceptAck(1, 1, 1, 1, []))
    assert lone.replica.leader is not None
    assert lone.replica.leader.open
    return lone


# --------------------------------------------------------------------------------------------------------------------------- members


def test_anybody_tells_who_belongs_to_the_cluster_and_a_leader_how_far_each_is() -> None:
    told = json.loads(operations(follower()).members({}).body)
    assert (told["id"], told["leader"], told["config_id"], told["pending"], told["removed"]) == (1, 0, 1, False, [])
    where = [{"address": f"h:{number + 1}", "websocket": "", "admin": f"http://h:{number + 11}"} for number in range(3)]
    assert told["members"] == [{"id": number, "role": "voter", **where[number]} for number in range(3)]
    told = json.loads(operations(opened()).members({}).body)
    assert told["members"][1:] == [{"id": number, "role": "voter", **where[number], "linked": True, "behind": number - 1} for number in (1, 2)]


def test_a_leader_begins_a_change_and_ends_the_turn() -> None:
    lone, woken = opened(), []
    page = operations(lone, lambda: woken.append(True)).add_member({"id": "3", "address": "h:7", "replaces": "2"})
    assert (page.status, json.loads(page.body)["pending"], woken) == (200, True, [True])
    lone.turn()
    told = json.loads(operations(lone).members({}).body)
    assert (told["config_id"], told["replacing"], told["members"][3]["role"]) == (2, [[3, 2]], "learner")
    assert operations(lone).remove_member({"id": "2"}).body == b"another change is under way: one at a time\n"


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({"address": "h:1"}, 400, "id and replaces must be ids"),
        ({"id": "3", "address": "h:1", "replaces": "x"}, 400, "id and replaces must be ids"),
        ({"id": "65536", "address": "h:1"}, 400, "id and replaces must be ids"),
        ({"id": "1" * 5000, "address": "h:1"}, 400, "id and replaces must be ids"),
        ({"id": "3", "address": "nowhere"}, 400, "address nowhere: must be HOST:PORT"),
        ({"id": "3", "address": "h:0"}, 400, "address h:0: must be HOST:PORT with a port from 1"),
        ({"id": "3", "address": "replica3..example.com:7403"}, 400, "address replica3..example.com:7403: the host must be"),
        ({"id": "3", "address": "memory:7403"}, 400, "address memory:7403: a host cannot be called memory here"),
        ({"id": "2", "address": "h:1"}, 409, "replica 2 is a member already"),
        ({"id": "3", "address": "h:7", "replaces": "9"}, 409, "replica 9 is no voter"),
    ],
)
def test_what_cannot_be_added_is_refused_in_words(query: dict[str, str], status: int, said: str) -> None:
    page = operations(opened()).add_member(query)
    assert page.status == status
    assert page.body.decode().startswith(said)


@pytest.mark.parametrize(("address", "holder"), [("h:2", 1), ("h:12", 1), ("h:3", 2)])
def test_an_address_of_a_member_is_refused_for_another_whichever_protocol_it_is_of(address: str, holder: int) -> None:
    page = operations(opened()).add_member({"id": "3", "address": address, "replaces": "0"})
    assert (page.status, page.body.decode()) == (409, f"replica {holder} listens at {address} already\n")


def test_a_second_learner_has_an_address_of_its_own() -> None:
    lone = opened()
    assert operations(lone).add_member({"id": "3", "address": "h:7"}).status == 200
    lone.turn()
    page = operations(lone).add_member({"id": "4", "address": "h:7"})
    assert (page.status, page.body) == (409, b"replica 3 listens at h:7 already\n")


def test_who_takes_a_lost_replica_s_place_may_take_its_address() -> None:
    assert operations(opened()).add_member({"id": "3", "address": "h:2", "replaces": "1"}).status == 200


def test_every_page_and_action_says_what_it_takes() -> None:
    made = operations(opened())
    assert made.parameters.keys() == made.routes.keys() | made.actions.keys()


def test_only_a_leader_changes_members_and_only_what_is_a_member_leaves() -> None:
    page = operations(follower()).remove_member({"id": "0"})
    assert (page.status, page.body) == (409, b"replica 1 does not lead; replica 0 does\n")
    assert operations(opened()).remove_member({"id": "7"}).body == b"replica 7 is no member\n"
    assert operations(opened()).remove_member({}).status == 400


# ---------------------------------------------------------------------------------------------------------------------- handing over


@pytest.mark.parametrize(("query", "to"), [({}, 1), ({"to": "2"}, 2)])
def test_a_leader_begins_to_hand_over_to_whom_it_is_told_or_chooses(query: dict[str, str], to: int) -> None:
    lone = leader()
    status, body = asked(lone, **query)
    assert (status, json.loads(body)) == (200, {"from": 0, "to": to})
    assert lone.replica.leader is not None
    assert lone.replica.leader.handing_over is not None
    assert lone.replica.leader.handing_over.peer == to


def test_who_cannot_hand_over_says_why() -> None:
    assert asked(follower()) == (409, "replica 1 does not lead; replica 0 does")
    assert asked(leader(), to="0") == (409, "replica 0 leads already")
    assert asked(leader(), to="7") == (409, "the cluster has no replica 7")
    for wrong in ("x", "-1", "65536", "1" * 5000, "\u0661"):
        assert asked(leader(), to=wrong) == (400, f"to {wrong}: must be the id of a replica")
    lonely = leader()
    lonely.unlink(2)
    assert asked(lonely, to="2") == (409, "replica 2 is not linked to the leader, replica 0")
    lonely.unlink(1)
    assert asked(lonely) == (409, "no follower is linked to the leader")


def test_one_that_knows_no_leader_and_one_that_does_not_serve_yet_say_so() -> None:
    lone = Lone(1)
    lone.restart()
    assert asked(lone) == (409, "replica 1 does not lead; it knows no leader")
    lone.win(2)
    assert asked(lone) == (409, "replica 1 leads view 2 and does not serve yet")


def test_an_attempt_is_not_replaced_by_another() -> None:
    lone = leader()
    asked(lone, to="2")
    assert asked(lone, to="1") == (409, "replica 0 is handing over to replica 2 already")


# ------------------------------------------------------------------------------------------------------------------------- snapshots


def begun(told: Operations) -> Stream:
    stream = told.snapshot({})
    assert isinstance(stream, Stream)
    return stream


def test_a_snapshot_is_the_state_of_the_moment_it_was_asked_for(tmp_path: Path) -> None:
    lone = follower()
    node = lone.replica.node
    fill(node.store, 3000, b"before")
    node.applied_position = 3000
    before = node.store.clone()
    stream = begun(operations(lone))
    pieces = [next(stream.pieces)]
    fill(node.store, 4000, b"after", 3001)
    node.applied_position = 7000
    pieces += stream.pieces
    (tmp_path / "s").write_bytes(b"".join(pieces))
    applied = read_snapshot(tmp_path / "s").applied
    assert (applied.index, applied.view, applied.position) == (2, 1, 3000)
    assert applied.store.freeze() == before.freeze()


def test_no_piece_is_larger_than_a_turn_has_time_for() -> None:
    lone = follower()
    fill(lone.replica.node.store, 5000, b"x" * 2000)
    sizes = [len(piece) for piece in begun(operations(lone)).pieces]
    assert sum(sizes) > 5000 * 2000
    assert max(sizes) < 2 << 20


def test_sessions_are_not_told(tmp_path: Path) -> None:
    lone = leader()
    lone.link_client(CLIENT)
    lone.replica.node.sessions.open(1, b"a secret token", 30.0)
    content = b"".join(begun(operations(lone)).pieces)
    assert b"a secret token" not in content
    (tmp_path / "s").write_bytes(content)
    assert read_snapshot(tmp_path / "s").summary()["sessions"] == 0


def test_there_is_one_at_a_time_and_one_that_is_given_up_is_forgotten() -> None:
    lone = follower()
    told = operations(lone)
    for taken in (0, 1):
        stream = begun(told)
        refused = told.snapshot({})
        assert isinstance(refused, Page)
        assert (refused.status, refused.body) == (503, b"another snapshot is being told; one at a time\n")
        for _ in range(taken):
            next(stream.pieces)
        stream.pieces.close()
        assert lone.replica.node.store._moments == []
    assert len(list(begun(told).pieces)) > 2
    assert isinstance(told.snapshot({}), Stream)
