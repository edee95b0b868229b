from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from replica.admin import Page, Stream
from replica.operations import Operations
from replica.snapshot_file import read_snapshot
from tests.replica.core.lone import CLIENT, Lone, accept, noop

if TYPE_CHECKING:
    from pathlib import Path

    from statemachine.store import Store


def operations(lone: Lone) -> Operations:
    return Operations(lone.replica, lone.replica.hand_over)


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
    assert asked(leader(), to="x") == (400, "to x: must be the id of a replica")
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
