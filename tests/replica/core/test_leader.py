from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.core.draft import Speculation
from replica.core.leader import ENTRY_BYTES_MAX, ENTRY_COMMANDS_MAX
from replica.core.messages import OpenSession, Record, SessionOpened
from replica.core.witness import Run
from statemachine.command import CAS_VALUE, CAUSAL, CLOSE, CONFIG, NOOP, OPEN, PUT
from tests.replica.core.seat import CLIENT, OTHER, Seat
from tests.replica.core.successor import A, Successor

if TYPE_CHECKING:
    from replica.core.config import Mode

# ------------------------------------------------------------------------------------------------------------------- the first entry


def test_the_first_entry_of_a_view_names_the_configuration() -> None:
    seat = Seat(mode="curp", opened=False)
    accepts = seat.turn()
    assert accepts[1].entries[0].system == [[CONFIG, "curp", 1, [0, 1, 2], [], [], [], []], [NOOP]]
    assert (accepts[1].previous_index, accepts[1].previous_view, accepts[1].commit_index) == (0, 0, 0)


def test_nothing_is_speculative_before_the_first_entry_is_applied() -> None:
    seat = Seat(opened=False)
    assert not seat.leader.open
    seat.turn()
    seat.ack()
    assert not seat.leader.open
    seat.apply()
    assert seat.leader.open


# ------------------------------------------------------------------------------------------------------------------------- sessions


def test_opening_a_session_is_logged_and_answered_when_it_is_applied() -> None:
    seat = Seat()
    seat.leader.registrar.on_open_session(CLIENT, OpenSession([b"t", b"u"], 7))
    accepts = seat.turn()
    assert accepts[1].entries[0].system == [[OPEN, b"t", 7.0], [OPEN, b"u", 7.0]]
    assert seat.replies(CLIENT) == []
    seat.ack()
    seat.apply()
    assert seat.replies(CLIENT) == [SessionOpened([b"t"], [3]), SessionOpened([b"u"], [4])]


def test_a_token_opens_one_session_however_often_it_is_sent() -> None:
    seat = Seat()
    seat.leader.registrar.on_open_session(CLIENT, OpenSession([b"t"], 30.0))
    seat.leader.registrar.on_open_session(OTHER, OpenSession([b"t"], 30.0))
    seat.commit()
    assert (seat.replies(CLIENT), seat.replies(OTHER)) == ([], [SessionOpened([b"t"], [3])]), "the link that asked last is answered"
    seat.leader.registrar.on_open_session(CLIENT, OpenSession([b"t"], 30.0))
    assert seat.replies(CLIENT) == [SessionOpened([b"t"], [3])]
    assert seat.turn() == {}


def test_at_the_limit_opening_is_refused_with_session_zero() -> None:
    seat = Seat(sessions_max=2)
    seat.leader.registrar.on_open_session(CLIENT, OpenSession([b"t", b"u", b"v"], 30.0))
    seat.commit()
    assert seat.replies(CLIENT) == [SessionOpened([b"v"], [0]), SessionOpened([b"t"], [3]), SessionOpened([b"u"], [4])]
    seat.leader.registrar.on_open_session(CLIENT, OpenSession([b"w", b"u"], 30.0))
    assert seat.replies(CLIENT) == [SessionOpened([b"w", b"u"], [0, 4])]


def test_a_session_whose_commands_are_applied_is_closed_in_the_log() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.puts(session, b"x")
    seat.commit()
    seat.leader.registrar.on_close_session({session: 0})
    assert seat.turn()[1].entries[0].system == [[CLOSE, session]]
    seat.ack()
    seat.apply()
    assert (len(seat.node.sessions), seat.node.witness.chains) == (0, {})


def test_a_session_is_closed_when_its_last_command_is_applied_if_that_is_later() -> None:
    """A client may close right after a fast completion, before the commit; nobody would ever close the session again."""
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.puts(session, b"x")
    seat.leader.registrar.on_close_session({session: 0, 999: 0})
    seat.commit()
    assert session in seat.node.witness.chains
    seat.commit()
    assert (len(seat.node.sessions), seat.node.witness.chains) == (0, {})


def test_nothing_of_a_session_enters_the_log_behind_its_end() -> None:
    """It would be applied to a session that is not there any more, on every replica."""
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.leader.registrar.on_close_session({session: 0})
    assert seat.puts(session, b"x").sessions == []
    seat.leader.registrar.on_close_session({session: 0})
    seat.commit()
    assert [entry.system for entry in seat.node.log.entries[-1:]] == [[[CLOSE, session]]]
    assert (seat.node.witness.commands, seat.leader.logged) == (0, {})


# -------------------------------------------------------------------------------------------------------------------------- entries


def test_a_turn_makes_one_entry_of_all_runs() -> None:
    seat = Seat()
    one, two = seat.open(b"t", b"u")
    seat.puts(one, b"a", b"b")
    seat.puts(one, b"c")
    seat.puts(two, b"d")
    seat.puts(one, b"e")
    (entry,) = seat.turn()[2].entries
    assert (entry.sessions, entry.firsts, entry.counts) == ([one, two, one], [1, 1, 4], [3, 1, 1])
    assert (entry.keys, entry.base, entry.view) == ([b"a", b"b", b"c", b"d", b"e"], 4, 1)
    assert seat.turn() == {}


def test_all_followers_get_the_same_objects() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.puts(session, b"a")
    accepts = seat.turn()
    assert accepts[1] is accepts[2]


def test_a_long_turn_makes_several_entries() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    before = seat.node.log.last_index
    seat.puts(session, *[b"a"] * ENTRY_COMMANDS_MAX)
    seat.puts(session, b"b")
    seat.turn()
    assert [len(seat.node.log.get(index).keys) for index in range(before + 1, before + 3)] == [ENTRY_COMMANDS_MAX, 1]
    chain = seat.node.witness.chains[session]
    seat.node.witness.hold(chain, Run(chain.held + 1, chain.held + 1, b"\0", [b"c"], [bytes(ENTRY_BYTES_MAX)], 1), 0.0)
    assert seat.leader.append(chain, Speculation())
    assert seat.node.log.last_index == before + 3


def test_what_a_new_leader_holds_of_one_session_goes_into_as_many_entries_as_it_needs() -> None:
    """Its client sent all of that again while it recovered; in one entry it would be more than a frame to a follower may have, and end the leader."""
    successor = Successor()
    successor.takes_over()
    value = bytes(ENTRY_BYTES_MAX // 4)
    for number in range(1, 22):
        successor.tell(CLIENT, Record([A], [number], [1], [number - 1], [1], bytes([PUT]), [b"x"], [value]))
    assert successor.new_entries() == []
    successor.hears(2)
    assert [len(entry.keys) for entry in successor.new_entries()] == [4, 4, 4, 4, 4, 1]
    assert successor.recovered() == [(A, number) for number in range(1, 22)]
    assert successor.new_entries()[0].system == [[NOOP]], "the view opens with the first of them"


def test_a_chain_with_a_hole_waits() -> None:
    """The log takes a session's commands in order and skips none."""
    seat = Seat()
    (session,) = seat.open(b"t")
    chain = seat.node.witness.chains[session]
    seat.node.witness.hold(chain, Run(2, 2, b"\0", [b"x"], [b"v"], 1), 0.0)
    assert not seat.leader.append(chain, Speculation())
    assert seat.turn() == {}


def test_a_command_enters_the_log_once() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.puts(session, b"a")
    speculation = Speculation()
    assert seat.leader.append(seat.node.witness.chains[session], speculation)
    assert speculation.sessions == []
    assert seat.turn()[1].entries[0].keys == [b"a"]


def test_a_new_leader_goes_on_where_the_log_ends() -> None:
    """Runs that were held before it led are appended one by one, the first without its applied part."""
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.hold(session, bytes(2), b"a", b"b")
    seat.hold(session, bytes(1), b"c")
    seat.node.witness.release(seat.node.witness.chains[session], 1, {})
    seat.append(session, bytes(1), b"d")
    (entry,) = seat.turn()[1].entries
    assert (entry.firsts, entry.counts, entry.keys) == ([2], [3], [b"b", b"c", b"d"])


# ----------------------------------------------------------------------------------------------------------------------- speculation


def spoken(speculation: Speculation) -> list[tuple[int, int]]:
    return list(zip(speculation.firsts, speculation.counts, strict=True))


@pytest.mark.parametrize("mode", ["curp", "ht", "ho"])
def test_a_command_without_conflict_is_answered_at_once(mode: Mode) -> None:
    seat = Seat(mode=mode)
    (session,) = seat.open(b"t")
    assert spoken(seat.puts(session, b"a")) == [(1, 1)]
    assert spoken(seat.puts(session, b"a", b"b")) == [(2, 2)]


def test_in_paxos_nothing_is() -> None:
    seat = Seat(mode="paxos")
    (session,) = seat.open(b"t")
    assert spoken(seat.puts(session, b"a")) == []


def test_causal_writes_are_not_answered_by_speculation() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    assert spoken(seat.append(session, bytes([CAUSAL, CAUSAL]), b"a", b"b")) == []
    assert spoken(seat.append(session, bytes([CAUSAL, PUT]), b"c", b"d")) == [(3, 2)]


def test_a_conflict_and_what_follows_it_wait_for_their_commit() -> None:
    seat = Seat()
    one, two = seat.open(b"t", b"u")
    assert spoken(seat.puts(one, b"x")) == [(1, 1)]
    assert spoken(seat.puts(two, b"x")) == []
    assert spoken(seat.puts(two, b"y")) == []
    seat.commit()
    assert spoken(seat.puts(two, b"y")) == [(3, 1)]


def test_what_follows_a_command_whose_outcome_is_not_known_waits_for_its_commit() -> None:
    """The witnesses accept both: nothing has pinned the other session's causal write. But the first one's answer hangs on it."""
    seat = Seat()
    one, two = seat.open(b"t", b"u")
    seat.append(two, bytes([CAUSAL]), b"x")
    assert spoken(seat.append(one, bytes([CAS_VALUE]), b"x")) == []
    assert spoken(seat.puts(one, b"z")) == []
    assert seat.node.witness.chains[one].accepted == 2
    seat.commit()
    assert spoken(seat.puts(one, b"z")) == [(3, 1)]


def test_what_only_followed_a_refused_command_counts_once_that_is_committed() -> None:
    """REFUSED is not final: a command whose only obstacle was its predecessor holds nobody up after it."""
    seat = Seat()
    one, two = seat.open(b"t", b"u")
    seat.puts(one, b"x")
    seat.puts(two, b"x")
    seat.turn()
    boundary = seat.node.log.last_index
    seat.puts(two, b"y")
    seat.turn()
    seat.ack(match=boundary)
    seat.apply()
    assert spoken(seat.puts(two, b"z")) == [(3, 1)]


def test_outcomes_carry_their_place_in_the_flat_columns() -> None:
    seat = Seat()
    one, two = seat.open(b"t", b"u")
    speculation = seat.append(one, bytes([PUT, CAS_VALUE]), b"a", b"b")
    seat.hold(two, bytes([CAS_VALUE]), b"a2")
    assert seat.leader.append(seat.node.witness.chains[two], speculation)
    reply = speculation.reply(seat.node)
    assert (reply.config, reply.view, reply.sessions, reply.counts, reply.results) == (1, 1, [one, two], [2, 1], [[1, 1], [2, 1]])


def test_in_ht_a_strong_command_behind_an_uncommitted_causal_write_is_not_speculative() -> None:
    """No witness holds the causal write; a new leader might keep the one without the other."""
    seat = Seat(mode="ht")
    (session,) = seat.open(b"t")
    seat.append(session, bytes([CAUSAL]), b"a")
    assert spoken(seat.puts(session, b"b")) == []
    seat.commit()
    assert spoken(seat.puts(session, b"c")) == [(3, 1)]
