from __future__ import annotations

import attrs

from replica.core.draft import Speculation
from replica.core.messages import AcceptAck, CloseSession, KeepAlive, OpenSession, Record, SessionOpened
from replica.core.registrar import LOOK_SECONDS, LOOK_SESSIONS, MORE_SECONDS
from replica.core.voter import Voter
from statemachine.command import CLOSE, EXPIRE, OPEN, PUT
from tests.replica.core.lone import CLIENT, Lone
from tests.replica.core.seat import CLIENT as LINK
from tests.replica.core.seat import OTHER, Seat
from tests.replica.core.successor import A, B, Successor, Told

LEASE = 30.0


def at(seat: Seat, now: float) -> list[list[object]]:
    """Let it be ``now``, and look at the leases; returns the system commands that enter the log."""
    seat.now = seat.node.now = now
    seat.leader.registrar.expire_sessions()
    last = seat.node.log.last_index
    seat.commit()
    return [command for entry in seat.node.log.entries if entry.index > last for command in entry.system]


# -------------------------------------------------------------------------------------------------------------------------- leases


def test_a_session_that_nobody_speaks_for_ends_when_its_lease_is_over_and_once() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    assert at(seat, LEASE) == []
    assert at(seat, LEASE + 0.1) == [[EXPIRE, session]]
    assert (len(seat.node.sessions), list(seat.node.sessions.expired)) == (0, [session])
    assert at(seat, LEASE + 5) == []


def test_its_end_is_logged_once_while_it_is_not_committed() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.now = seat.node.now = LEASE + 1
    for _ in range(2):
        seat.leader.registrar.expire_sessions()
        seat.turn()
    assert [entry.system for entry in seat.node.log.entries].count([[EXPIRE, session]]) == 1
    assert seat.puts(session, b"k").sessions == [], "nothing of it enters the log any more"
    seat.turn()
    assert [entry.keys for entry in seat.node.log.entries if entry.keys] == []


def test_each_session_has_a_lease_of_its_own() -> None:
    seat = Seat()
    seat.leader.registrar.on_open_session(LINK, OpenSession([b"short"], 5.0))
    seat.leader.registrar.on_open_session(LINK, OpenSession([b"long"], 60.0))
    seat.commit()
    assert at(seat, 6.0) == [[EXPIRE, seat.node.sessions.tokens[b"long"] - 1]]


def test_who_is_heard_in_time_lives_on() -> None:
    seat = Seat()
    one, other = seat.open(b"t", b"u")
    seat.node.now = 20.0
    seat.leader.registrar.on_heard([one, 999])
    assert at(seat, 40.0) == [[EXPIRE, other]]
    assert at(seat, 51.0) == [[EXPIRE, one]]


def test_a_session_heard_of_by_a_follower_lives_on() -> None:
    seat = Seat()
    one, other = seat.open(b"t", b"u")
    seat.node.now = 20.0
    seat.leader.on_accept_ack(1, AcceptAck(1, 1, 0, 0, [one]))
    assert at(seat, 40.0) == [[EXPIRE, other]]


def test_who_hands_on_what_a_client_once_said_does_not_speak_for_it() -> None:
    """A follower forwards again and again what this log cannot take, long after the client has gone: the session must end all the same."""
    seat = Seat(mode="ht")
    (session,) = seat.open(b"t")
    voter = Voter(seat.node)
    behind_a_hole = Record([session], [3], [1], [0], [1], bytes([PUT]), [b"k"], [b"v"])
    seat.node.now = LEASE
    voter.on_record(1, behind_a_hole, seat.leader, forwarded=True)
    assert at(seat, LEASE + 0.1) == [[EXPIRE, session]]
    (session,) = seat.open(b"u")
    seat.node.now = 2 * LEASE
    voter.on_record(LINK, attrs.evolve(behind_a_hole, sessions=[session]), seat.leader)
    assert at(seat, 2 * LEASE + 1) == [], "its client speaks"


def test_a_lease_begins_when_the_session_is_opened_however_long_the_leader_serves() -> None:
    seat = Seat()
    seat.now = seat.node.now = 1000.0
    seat.open(b"t")
    assert at(seat, 1000.0 + LOOK_SECONDS) == []
    assert at(seat, 1000.0 + LEASE) == []
    assert len(at(seat, 1000.0 + LEASE + 1)) == 1


def test_leases_are_looked_at_now_and_then() -> None:
    seat = Seat()
    registrar = seat.leader.registrar
    assert registrar.look_at == LOOK_SECONDS
    at(seat, 7.0)
    assert registrar.look_at == 7.0 + LOOK_SECONDS
    assert seat.leader.deadline() <= registrar.look_at


def test_the_leases_of_many_sessions_are_looked_at_a_part_at_a_time_and_none_is_missed() -> None:
    seat = Seat(sessions_max=10_000)
    sessions = seat.open(*[number.to_bytes(4, "big") for number in range(2 * LOOK_SESSIONS + 10)])
    registrar = seat.leader.registrar
    seat.node.now = LEASE
    heard = sessions[5::2]
    registrar.on_heard(heard)

    def looks(count: int, now: float) -> list[object]:
        ended: list[object] = []
        for _ in range(count):
            found = at(seat, now)
            assert len(found) <= LOOK_SESSIONS
            assert registrar.look_at == now + (MORE_SECONDS if registrar.unseen else LOOK_SECONDS)
            now = registrar.look_at
            ended += [session for _, session in found]
        assert not registrar.unseen
        return ended

    assert looks(3, LEASE + 0.5) == sorted(set(sessions) - set(heard))
    assert looks(2, 2 * LEASE + 0.5) == heard
    assert len(seat.node.sessions) == 0


def test_a_new_leader_begins_all_leases_anew() -> None:
    """What it heard as a follower long ago says nothing of what the old leader heard."""
    lone = Successor()
    lone.now = LEASE + 10
    lone.takes_over()
    lone.hears(2)
    lone.acknowledged(0, 2)
    assert lone.role == "leader"
    began = lone.now
    for now, ended in ((began + LEASE - 1, 0), (began + LEASE + 2, 2)):
        lone.now = now
        leader = lone.replica.leader
        assert leader is not None
        for peer in leader.progress:
            leader.progress[peer].heard_at = now
        lone.turn()
        assert sum(command[0] == EXPIRE for entry in lone.new_entries() for command in entry.system) == ended


def test_a_client_s_record_and_its_keep_alive_are_words_for_a_session() -> None:
    lone = Lone(0)
    lone.link_client()
    lone.tell(CLIENT, OpenSession([b"a", b"b", b"c"], LEASE))
    leader = lone.replica.leader
    assert leader is not None
    for peer in (1, 2):
        lone.tell(peer, AcceptAck(1, 1, lone.replica.node.log.last_index, leader.round, []))
    one, two, three = lone.replica.node.witness.chains
    lone.now = 20.0
    leader.progress[1].heard_at = leader.progress[2].heard_at = lone.now
    lone.tell(CLIENT, KeepAlive([one]), Record([two], [1], [1], [0], [1], b"\0", [b"k"], [b"v"]))
    chains = lone.replica.node.witness.chains
    assert [chains[session].heard_at for session in (one, two, three)] == [20.0, 20.0, 0.0]


# ------------------------------------------------------------------------------------------------------------- beginnings and ends


def test_openings_still_under_way_count_for_the_limit() -> None:
    seat = Seat(sessions_max=2)
    for token in (b"t", b"u", b"v"):
        seat.leader.registrar.on_open_session(LINK, OpenSession([token], LEASE))
    assert seat.replies(LINK) == [SessionOpened([b"v"], [0])]


def test_an_opening_that_waits_is_asked_for_once_in_the_log() -> None:
    seat = Seat()
    for link in (LINK, OTHER):
        seat.leader.registrar.on_open_session(link, OpenSession([b"t"], LEASE))
    assert [entry.system for entry in seat.turn()[1].entries] == [[[OPEN, b"t", LEASE]]]


def test_a_session_is_not_closed_before_its_last_command_is_applied() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.hold(session, b"\0\0", b"x", b"y")
    seat.leader.registrar.on_close_session({session: 0})
    assert list(seat.leader.registrar.closing) == [session]
    assert seat.turn() == {}
    seat.leader.append(seat.node.witness.chains[session], Speculation())
    seat.commit()
    assert seat.node.sessions.applied(session) == 2
    assert [entry.system for entry in seat.turn()[1].entries] == [[[CLOSE, session]]]
    seat.commit()
    assert (len(seat.node.sessions), seat.leader.registrar.closing) == (0, {})


def test_a_session_is_not_closed_before_what_its_home_acknowledged_has_come() -> None:
    """A leader that had no room refused it; the home said that it holds it, so it is complete, and forwards it."""
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.leader.registrar.on_close_session({session: 1})
    seat.commit()
    assert list(seat.leader.registrar.closing) == [session]
    assert len(seat.node.sessions) == 1
    seat.hold(session, b"\0", b"x")
    seat.leader.append(seat.node.witness.chains[session], Speculation())
    seat.commit()
    assert seat.node.sessions.applied(session) == 1
    seat.commit()
    assert len(seat.node.sessions) == 0


def test_what_a_session_said_in_the_turn_in_which_its_lease_is_over_stands_before_its_end() -> None:
    """An entry's ends come before its commands: nobody could apply those of a session that is gone."""
    seat = Seat()
    one, other = seat.open(b"t", b"u")
    for session in (one, other):
        seat.hold(session, b"\0", b"x%d" % session)
        seat.leader.append(seat.node.witness.chains[session], Speculation())
    before = seat.node.log.last_index
    seat.node.now = 10.0
    seat.leader.registrar.on_heard([other])
    assert at(seat, LEASE + 1) == [[EXPIRE, one]]
    assert [(entry.sessions, entry.system) for entry in seat.node.log.entries if entry.index > before] == [([one, other], []), ([], [[EXPIRE, one]])]
    assert (list(seat.node.sessions.table), seat.node.sessions.applied(other)) == ([other], 1)


def test_a_session_that_waits_for_its_end_may_expire() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.hold(session, b"\0", b"x")
    seat.leader.registrar.on_close_session({session: 0})
    assert at(seat, LEASE + 1) == [[EXPIRE, session]]
    assert list(seat.leader.registrar.closing) == []


def test_a_session_that_is_closed_does_not_expire_too() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.leader.registrar.on_close_session({session: 0})
    assert at(seat, LEASE + 1) == [[CLOSE, session]]


def test_an_end_in_the_log_of_an_older_view_ends_it() -> None:
    lone = Successor()
    lone.logs(A, 1, "", system=[[CLOSE, A]])
    lone.takes_over()
    lone.hears(2, Told(A, "s", 1))
    lone.acknowledged(0, 2)
    assert sorted(lone.replica.node.witness.chains) == [B]
    lone.tell(CLIENT, CloseSession([A], [0]))
    assert lone.recovered() == []


# ------------------------------------------------------------------------------------------------------------------------ handing over


def behind() -> Seat:
    """A leader that hands over to a follower which lacks something."""
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.ack(*seat.leader.progress)
    seat.puts(session, b"k")
    seat.turn()
    assert seat.leader.hand_over()
    return seat


def system(seat: Seat) -> list[list[object]]:
    return [command for entry in seat.node.log.entries for command in entry.system]


def test_the_log_does_not_grow_by_sessions_that_begin_or_end_while_the_leader_hands_over() -> None:
    seat = behind()
    registrar, before = seat.leader.registrar, seat.node.log.last_index
    (session,) = seat.node.sessions.table
    registrar.on_open_session(LINK, OpenSession([b"new", b"t"], LEASE))
    seat.node.now = LEASE + 1
    registrar.expire_sessions()
    registrar.on_close_session({session: 1})
    seat.ack(*seat.leader.progress)
    seat.turn()
    assert seat.node.log.last_index == before
    assert registrar.opening == {}
    assert [(message.tokens, message.sessions) for message in seat.replies(LINK) if isinstance(message, SessionOpened)][-1] == ([b"t"], [session])


def test_when_that_comes_to_nothing_they_begin_and_end_as_if_it_had_not_been() -> None:
    seat = behind()
    registrar = seat.leader.registrar
    (session,) = seat.node.sessions.table
    registrar.on_close_session({session: 1})
    seat.ack(*seat.leader.progress)
    seat.commit()
    registrar.expire_sessions()
    assert registrar.look_at == seat.node.now + MORE_SECONDS
    seat.leader.handing_over = None
    registrar.expire_sessions()
    registrar.on_open_session(LINK, OpenSession([b"new"], LEASE))
    seat.commit()
    assert system(seat)[-2:] == [[CLOSE, session], [OPEN, b"new", LEASE]]
