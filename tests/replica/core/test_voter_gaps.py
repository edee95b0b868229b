"""A gap in a chain that the log fills: what the leader was sent is as good as what came here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.core.messages import RecordAck
from replica.core.node import GAP
from replica.core.voter import LOG_LOOK_ENTRIES
from statemachine.command import CAUSAL, PUT
from tests.replica.core.stand import A, B, Stand, ack, record

if TYPE_CHECKING:
    from replica.core.config import Mode


@pytest.mark.parametrize("mode", ["ho", "curp"])
def test_what_the_log_has_is_no_hole_before_it_is_applied(mode: Mode) -> None:
    """The client does not send again what the leader told it to be committed, though this replica has not heard of that yet."""
    stand = Stand(mode)
    stand.log(A, 1, (PUT, b"a"), (PUT, b"b"), commit=False)
    stand.log(B, 1, (PUT, b"q"), commit=False)
    stand.log(A, 3, (PUT, b"c"), commit=False)
    assert stand.levels() == (0, 0, 0)
    assert stand.say(record(A, 5, (PUT, b"x"))) == [RecordAck(1, 1, [A], [3], [3], [[A, GAP]])]
    assert stand.say(record(A, 4, (PUT, b"d"), (PUT, b"x"))) == [ack(A, 5, 5)]
    assert [(run.first, run.keys) for run in stand.replica.node.witness.chains[A].runs] == [(1, [b"a", b"b"]), (3, [b"c"]), (4, [b"d", b"x"])]
    assert stand.levels(B) == (0, 0, 0), "nobody asked"
    assert stand.say(record(B, 1, (PUT, b"a"))) == [ack(B, 1, 0)], "it counts as held by anybody else"


def test_what_the_log_has_in_part_is_held_in_part() -> None:
    stand = Stand()
    assert stand.say(record(A, 1, (PUT, b"a"))) == [ack(A, 1, 1)]
    stand.log(A, 1, (PUT, b"a"), (PUT, b"b"), (PUT, b"c"), commit=False)
    assert stand.say(record(A, 3, (PUT, b"c"))) == [ack(A, 3, 3)]
    assert [(run.first, run.keys) for run in stand.replica.node.witness.chains[A].runs] == [(1, [b"a"]), (2, [b"b", b"c"])]


def test_a_replica_far_behind_and_one_that_has_no_room_do_not_look_into_the_log() -> None:
    stand = Stand(witness_commands_max=1)
    stand.say(record(B, 1, (PUT, b"q")))
    stand.log(A, 1, (PUT, b"a"), commit=False)
    assert stand.say(record(A, 2, (PUT, b"x"))) == [RecordAck(1, 1, [A], [0], [0], [[A, GAP]])]
    stand = Stand()
    for number in range(LOG_LOOK_ENTRIES + 1):
        stand.log(A, number + 1, (PUT, b"a"), commit=False)
    assert stand.say(record(A, LOG_LOOK_ENTRIES + 2, (PUT, b"x"))) == [RecordAck(1, 1, [A], [0], [0], [[A, GAP]])]


def test_in_ht_the_log_is_not_looked_into_for_the_followers_part_of_a_chain() -> None:
    stand = Stand("ht")
    stand.log(A, 1, (PUT | CAUSAL, b"a"), (PUT, b"b"), commit=False)
    assert stand.say(record(A, 4, (PUT, b"x"), previous=2)) == [RecordAck(1, 1, [A], [0], [0], [[A, GAP]])]
