from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from replica.core.config import CoreConfig, Mode
from replica.core.leader import ENTRY_BYTES_MAX, ENTRY_COMMANDS_MAX, TRIM_ENTRIES, WINDOW_ENTRIES_MAX, Leader, Speculation
from replica.core.log import entry_bytes
from replica.core.messages import Accept, AcceptAck, AcceptNack, Entry, OpenSession, SessionOpened
from replica.core.node import Node
from replica.core.witness import Run
from statemachine.command import CAS_VALUE, CAUSAL, CLOSE, CONFIG, NOOP, OPEN, PUT

if TYPE_CHECKING:
    from replica.core.messages import Value

CLIENT, OTHER = ("link", 1), ("link", 2)


class Seat:
    """A leader on its node, without links: what would be sent is returned."""

    def __init__(self, voters: int = 3, mode: Mode = "ho", *, opened: bool = True, linked: bool = True, **config: Any) -> None:
        self.node = Node(CoreConfig(id=0, voters=tuple(range(voters)), mode=mode, **config), view=1, leader=0)
        self.leader = Leader(self.node)
        self.node.on_applied = self.leader.on_applied
        self.now = 0.0
        self.leader.start()
        if linked:
            for peer in self.leader.progress:
                self.leader.link_up(peer)
        if opened:
            self.commit()

    def turn(self) -> dict[int, Accept]:
        """End the turn; returns the accept of each follower."""
        self.leader.close_turn()
        sent = {}
        for peer, (accept,) in self.leader.accepts(self.now):
            assert isinstance(accept, Accept)
            sent[peer] = accept
        return sent

    def ack(self, *peers: int, match: int = -1) -> None:
        """Followers have the log up to ``match`` (all of it)."""
        for peer in peers or self.leader.progress:
            self.leader.on_accept_ack(peer, AcceptAck(1, 1, match if match >= 0 else self.node.log.last_index, self.leader.round, []))

    def commit(self) -> None:
        """End the turn, have all followers acknowledge, and apply."""
        self.turn()
        self.ack()
        self.apply()

    def apply(self) -> None:
        while self.node.apply(1 << 30):
            pass

    def open(self, *tokens: bytes) -> list[int]:
        self.leader.on_open_session(CLIENT, OpenSession([*tokens], 30.0))
        self.commit()
        return [self.node.sessions.tokens[token] for token in tokens]

    def hold(self, session: int, kinds: bytes, *keys: bytes) -> None:
        """The leader's own witness takes a session's next commands."""
        chain = self.node.witness.chains[session]
        values: list[Value] = [b"v" if kind & ~CAUSAL == PUT else [None, b"w"] for kind in kinds]
        self.node.witness.hold(chain, Run(chain.held + 1, chain.held + len(kinds), kinds, list(keys), values, 1), self.now)

    def append(self, session: int, kinds: bytes, *keys: bytes) -> Speculation:
        """A session's next commands come to the leader."""
        self.hold(session, kinds, *keys)
        speculation = Speculation()
        assert self.leader.append(self.node.witness.chains[session], speculation)
        return speculation

    def puts(self, session: int, *keys: bytes) -> Speculation:
        return self.append(session, bytes(len(keys)), *keys)

    def replies(self, link: object) -> list[object]:
        return list(self.node.outbox.pop(link, []))


# ------------------------------------------------------------------------------------------------------------------- the first entry


def test_the_first_entry_of_a_view_names_the_configuration() -> None:
    seat = Seat(mode="curp", opened=False)
    accepts = seat.turn()
    assert accepts[1].entries[0].system == [[CONFIG, 1, "curp", [0, 1, 2]], [NOOP]]
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
    seat.leader.on_open_session(CLIENT, OpenSession([b"t", b"u"], 7))
    accepts = seat.turn()
    assert accepts[1].entries[0].system == [[OPEN, b"t", 7.0], [OPEN, b"u", 7.0]]
    assert seat.replies(CLIENT) == []
    seat.ack()
    seat.apply()
    assert seat.replies(CLIENT) == [SessionOpened([b"t"], [3]), SessionOpened([b"u"], [4])]


def test_a_token_opens_one_session_however_often_it_is_sent() -> None:
    seat = Seat()
    seat.leader.on_open_session(CLIENT, OpenSession([b"t"], 30.0))
    seat.leader.on_open_session(OTHER, OpenSession([b"t"], 30.0))
    seat.commit()
    assert (seat.replies(CLIENT), seat.replies(OTHER)) == ([], [SessionOpened([b"t"], [3])]), "the link that asked last is answered"
    seat.leader.on_open_session(CLIENT, OpenSession([b"t"], 30.0))
    assert seat.replies(CLIENT) == [SessionOpened([b"t"], [3])]
    assert seat.turn() == {}


def test_at_the_limit_opening_is_refused_with_session_zero() -> None:
    seat = Seat(sessions_max=2)
    seat.leader.on_open_session(CLIENT, OpenSession([b"t", b"u", b"v"], 30.0))
    seat.commit()
    assert seat.replies(CLIENT) == [SessionOpened([b"v"], [0]), SessionOpened([b"t"], [3]), SessionOpened([b"u"], [4])]
    seat.leader.on_open_session(CLIENT, OpenSession([b"w", b"u"], 30.0))
    assert seat.replies(CLIENT) == [SessionOpened([b"w", b"u"], [0, 4])]


def test_a_session_whose_commands_are_applied_is_closed_in_the_log() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.puts(session, b"x")
    seat.commit()
    seat.leader.on_close_session([session])
    assert seat.turn()[1].entries[0].system == [[CLOSE, session]]
    seat.ack()
    seat.apply()
    assert (len(seat.node.sessions), seat.node.witness.chains) == (0, {})


def test_a_session_is_closed_when_its_last_command_is_applied_if_that_is_later() -> None:
    """A client may close right after a fast completion, before the commit; nobody would ever close the session again."""
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.puts(session, b"x")
    seat.leader.on_close_session([session, 999])
    seat.commit()
    assert session in seat.node.witness.chains
    seat.commit()
    assert (len(seat.node.sessions), seat.node.witness.chains) == (0, {})


def test_nothing_of_a_session_enters_the_log_behind_its_end() -> None:
    """It would be applied to a session that is not there any more, on every replica."""
    seat = Seat()
    (session,) = seat.open(b"t")
    seat.leader.on_close_session([session])
    assert seat.puts(session, b"x").sessions == []
    seat.leader.on_close_session([session])
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


# ------------------------------------------------------------------------------------------------------------------------- committing


@pytest.mark.parametrize(("voters", "needed"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (7, 3)])
def test_a_majority_with_the_leader_commits(voters: int, needed: int) -> None:
    seat = Seat(voters, opened=False)
    seat.turn()
    for peer in range(1, needed + 1):
        assert seat.node.commit_index == 0
        seat.ack(peer)
    assert seat.node.commit_index == 1


def test_acknowledgements_of_less_commit_less() -> None:
    seat = Seat(5, opened=False)
    seat.turn()
    seat.leader.on_open_session(CLIENT, OpenSession([b"t"], 30.0))
    seat.turn()
    seat.ack(1, match=2)
    seat.ack(2, match=1)
    assert seat.node.commit_index == 1
    seat.ack(2, match=0)
    assert seat.node.commit_index == 1, "what was acknowledged once stays so"


def test_an_entry_of_an_older_view_is_not_committed_by_counting() -> None:
    """Raft, figure 8: it commits with the first entry of the leader's own view."""
    node = Node(CoreConfig(id=0, voters=(0, 1, 2)), view=2, leader=0)
    node.log.append(Entry(1, 1, 0, [[NOOP]], [], [], [], [], b"", [], []))
    leader = Leader(node)
    leader.start()
    leader.on_accept_ack(1, AcceptAck(1, 2, 1, 0, []))
    assert node.commit_index == 0
    leader.close_turn()
    leader.on_accept_ack(1, AcceptAck(1, 2, 2, 0, []))
    assert node.commit_index == 2


# -------------------------------------------------------------------------------------------------------------------------- followers


def test_an_idle_leader_sends_a_heartbeat_when_it_is_due() -> None:
    seat = Seat()
    due = seat.leader.deadline()
    assert seat.turn() == {}, "told everything but the commit"
    seat.now = due
    accepts = seat.turn()
    assert [(accept.entries, accept.commit_index) for accept in accepts.values()] == [([], 1)] * 2
    assert seat.leader.deadline() == pytest.approx(seat.now + seat.node.config.heartbeat_seconds)


def test_a_new_commit_index_is_told_within_the_flush_time() -> None:
    seat = Seat()
    seat.now = seat.leader.deadline()
    seat.turn()
    (session,) = seat.open(b"t")
    seat.turn()
    seat.puts(session, b"x")
    assert seat.turn()[1].commit_index == 2, "with the next entry"
    seat.ack()
    assert seat.turn() == {}
    assert seat.leader.deadline() == pytest.approx(seat.now + seat.node.config.commit_flush_seconds)
    seat.now = seat.leader.deadline()
    assert seat.turn()[1].commit_index == 3


def test_a_leader_alone_has_nothing_to_send_and_no_deadline() -> None:
    seat = Seat(1)
    assert (seat.turn(), seat.leader.deadline()) == ({}, float("inf"))


def test_a_follower_without_a_link_is_sent_nothing() -> None:
    seat = Seat()
    seat.leader.link_down(2)
    seat.leader.on_open_session(CLIENT, OpenSession([b"t"], 30.0))
    assert list(seat.turn()) == [1]
    seat.now = 1.0
    assert list(seat.turn()) == [1]


def test_a_leader_without_links_waits_for_its_next_heartbeat() -> None:
    seat = Seat(linked=False, opened=False)
    assert seat.turn() == {}
    assert seat.leader.deadline() > seat.now


def test_on_a_fresh_link_sending_starts_again_behind_what_was_acknowledged() -> None:
    seat = Seat()
    seat.open(b"t")
    seat.leader.on_open_session(CLIENT, OpenSession([b"u"], 30.0))
    assert seat.turn()[2].previous_index == 2
    seat.leader.link_down(2)
    seat.leader.link_up(2)
    accept = seat.turn()[2]
    assert (accept.previous_index, [entry.index for entry in accept.entries]) == (2, [3])


def test_a_follower_that_misses_entries_is_backed_up_to_its_hint_never_below_its_match() -> None:
    seat = Seat()
    for token in (b"t", b"u", b"v"):
        seat.leader.on_open_session(CLIENT, OpenSession([token], 30.0))
        seat.turn()
    seat.ack(1)
    seat.leader.on_accept_nack(2, AcceptNack(1, 1, 2, seat.leader.round))
    accept = seat.turn()[2]
    assert (accept.previous_index, [entry.index for entry in accept.entries]) == (2, [3, 4])
    seat.leader.on_accept_nack(2, AcceptNack(1, 1, 0, seat.leader.round))
    assert seat.turn()[2].previous_index == 1
    seat.leader.on_accept_nack(2, AcceptNack(1, 1, 99, seat.leader.round))
    assert seat.turn() == {}, "a hint beyond what was sent says nothing"


def test_a_round_is_confirmed_by_a_majority_that_echoes_it() -> None:
    seat = Seat(5)
    confirmed = seat.leader.confirmed
    seat.leader.round_wanted = True
    assert len(seat.turn()) == 4
    sent = seat.leader.round
    assert sent > confirmed
    seat.ack(1)
    assert seat.leader.confirmed < sent
    seat.leader.on_accept_nack(2, AcceptNack(1, 1, 0, sent))
    assert seat.leader.confirmed == sent, "a nack confirms leadership like an ack"


# ----------------------------------------------------------------------------------------------------------------------------- limits


def filled(seat: Seat, session: int, entries: int, value_bytes: int = 0) -> None:
    """Make entries of one command each."""
    for _ in range(entries):
        chain = seat.node.witness.chains[session]
        seat.node.witness.hold(chain, Run(chain.held + 1, chain.held + 1, b"\0", [b"k"], [bytes(value_bytes)], 1), 0.0)
        assert seat.leader.append(chain, Speculation())
        seat.leader.close_turn()


def test_one_frame_to_a_follower_that_catches_up_is_bounded() -> None:
    seat = Seat(accept_bytes_max=10_000)
    (session,) = seat.open(b"t")
    filled(seat, session, 10, value_bytes=3000)
    sent = []
    while accepts := seat.turn():
        sent.append([entry.index for entry in accepts[1].entries])
    assert [index for frame in sent for index in frame] == list(range(3, 13))
    assert max(map(len, sent)) == 2


def test_a_follower_that_acknowledges_nothing_is_sent_a_bounded_number_of_entries() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    filled(seat, session, WINDOW_ENTRIES_MAX + 200)
    for _ in range(40):
        seat.turn()
    assert seat.leader.progress[1].next - seat.leader.progress[1].match <= WINDOW_ENTRIES_MAX + 64
    seat.ack(1, match=500)
    assert seat.turn()[1].entries


def test_a_follower_that_acknowledges_nothing_is_sent_a_bounded_number_of_bytes() -> None:
    seat = Seat(window_bytes_max=20_000, accept_bytes_max=5_000)
    (session,) = seat.open(b"t")
    filled(seat, session, 30, value_bytes=2000)
    for _ in range(40):
        seat.turn()
    progress, log = seat.leader.progress[1], seat.node.log
    size = sum(entry_bytes(log.get(index)) for index in range(progress.match + 1, progress.next))
    assert 15_000 < size < 25_000 + 5_000
    seat.ack(1, match=progress.next - 1)
    assert seat.turn()[1].entries


def test_the_log_forgets_in_large_steps_what_everybody_has() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    filled(seat, session, TRIM_ENTRIES - 10)
    seat.commit()
    seat.leader.trim()
    assert seat.node.log.first_index == 1
    filled(seat, session, 20)
    seat.commit()
    seat.leader.trim()
    assert seat.node.log.first_index == seat.node.log.last_index + 1


def test_the_log_keeps_what_a_follower_lacks() -> None:
    seat = Seat()
    (session,) = seat.open(b"t")
    filled(seat, session, 2 * TRIM_ENTRIES)
    seat.turn()
    seat.ack(1)
    seat.apply()
    seat.leader.trim()
    assert seat.node.log.first_index == 1


def test_past_half_its_limit_the_log_leaves_a_slow_follower_behind() -> None:
    seat = Seat(log_bytes_max=100_000)
    (session,) = seat.open(b"t")
    filled(seat, session, 20, value_bytes=5_000)
    assert seat.leader.busy()
    seat.turn()
    seat.ack(1)
    seat.apply()
    seat.leader.trim()
    assert not seat.leader.busy()
    seat.leader.link_down(2)
    seat.leader.link_up(2)
    seat.now = 1.0
    assert list(seat.turn()) == [1], "the other needs a snapshot"


def test_a_log_of_few_large_entries_is_forgotten_too() -> None:
    """Fewer entries than one step forgets, but over the limit: nobody could write ever again."""
    seat = Seat(log_bytes_max=100_000)
    (session,) = seat.open(b"t")
    for _ in range(30):
        filled(seat, session, 1, value_bytes=9_000)
        seat.commit()
        seat.leader.trim()
        assert not seat.leader.busy()


def test_before_it_leaves_anybody_behind_the_log_forgets_what_all_have() -> None:
    seat = Seat(log_bytes_max=100_000)
    (session,) = seat.open(b"t")
    filled(seat, session, 9, value_bytes=5_000)
    seat.commit()
    filled(seat, session, 2, value_bytes=5_000)
    seat.turn()
    seat.ack(1)
    seat.apply()
    seat.leader.trim()
    assert seat.node.log.first_index == seat.leader.progress[2].match + 1
