from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING

import attrs
import pytest

from replica.core.config import CoreConfig
from replica.core.draft import Speculation
from replica.core.leader import Leader
from replica.core.messages import AcceptAck, Entry, OpenSession
from replica.core.node import Node
from replica.core.tail import Logged, Outcome, Tail
from replica.core.witness import Run, Witness
from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, DELETE, PUT, conflicts, footprint_of
from statemachine.store import Store
from tests.replica.core.witness_oracle import Held, Oracle

if TYPE_CHECKING:
    from replica.core.messages import Value

A, B, C = 10, 20, 30
CAUSAL_PUT = PUT | CAUSAL
Command = tuple[int, bytes, "Value"]


@attrs.define
class Desk:
    """A tail with its witness and store, without a log around it."""

    store: Store = attrs.Factory(Store)
    witness: Witness = attrs.Factory(lambda: Witness(100))
    tail: Tail = attrs.field(init=False)
    logged: dict[int, Logged] = attrs.Factory(dict)
    index: int = 1

    def __attrs_post_init__(self) -> None:
        self.tail = Tail(self.store, self.witness)
        for session in (A, B):
            self.witness.open(session)
            self.logged[session] = Logged(0)

    def append(self, session: int, *commands: Command, held: bool = True) -> tuple[bool, list[list[int]]]:
        """Judge a session's next commands at the witness and lay them over the tail, in an entry of their own."""
        chain, logged = self.witness.chains[session], self.logged[session]
        run = Run(logged.number + 1, logged.number + len(commands), *columns(commands), 1)
        if held:
            self.witness.hold(chain, run, 0.0)
        logged.number = run.last
        self.index += 1
        return self.tail.append(logged, chain, run, self.index)

    def over(self, key: bytes) -> list[object]:
        """Return the values laid over a key, oldest first."""
        return [value for _, _, value, _ in self.tail.writes.get(key, ())]


def columns(commands: tuple[Command, ...]) -> tuple[bytes, list[bytes], list[Value]]:
    return bytes(kind for kind, _, _ in commands), [key for _, key, _ in commands], [value for _, _, value in commands]


# ------------------------------------------------------------------------------------------------------------------- what is laid over


def test_uncommitted_writes_lie_over_a_key_in_log_order() -> None:
    """D5: one pending entry for each key is not enough."""
    desk = Desk()
    desk.append(A, (PUT, b"x", b"1"), (PUT, b"y", b"2"))
    desk.append(B, (CAUSAL_PUT, b"x", b"3"))
    desk.append(A, (DELETE, b"x", None), (PUT, b"x", b"4"))
    assert (desk.over(b"x"), desk.over(b"y"), desk.over(b"z")) == ([b"1", b"3", None, b"4"], [b"2"], [])
    assert [(session, number) for session, number, _, _ in desk.tail.writes[b"x"]] == [(A, 1), (B, 1), (A, 3), (A, 4)]


def test_speculation_never_touches_the_applied_state() -> None:
    desk = Desk()
    before = desk.store.freeze()
    desk.append(A, (PUT, b"x", b"1"), (CAS_VALUE, b"x", [b"1", b"2"]))
    assert desk.store.freeze() == before


# ------------------------------------------------------------------------------------------------------------------- outcomes of cas


def test_a_cas_sees_the_applied_state() -> None:
    desk = Desk()
    desk.store.apply(bytes([PUT]), [b"x"], [b"1"], 7)
    assert desk.append(A, (CAS_VALUE, b"x", [b"1", b"2"])) == (True, [[0, 1]])
    assert desk.append(B, (CAS_VALUE, b"y", [b"1", b"2"]), (CAS_VERSION, b"z", [0, b"3"])) == (True, [[0, 0], [1, 1]])


def test_a_cas_sees_its_own_sessions_writes_before_it() -> None:
    """D3 and the like: the result is that of the whole tail up to the command."""
    desk = Desk()
    desk.append(A, (PUT, b"x", b"1"), (CAUSAL_PUT, b"y", b"1"))
    free, results = desk.append(A, (CAS_VALUE, b"x", [b"1", b"2"]), (CAS_VALUE, b"x", [b"1", b"3"]), (CAS_VALUE, b"y", [b"1", b"4"]))
    assert (free, results) == (True, [[0, 1], [1, 0], [2, 1]])
    assert desk.over(b"x") == [b"1", b"2", Outcome.FAILED]
    assert desk.append(A, (CAS_VALUE, b"x", [b"2", b"5"])) == (True, [[0, 1]])


def test_a_cas_over_anothers_uncommitted_write_has_no_outcome_yet() -> None:
    """D9: B's causal write may be lost; A may not be told of it."""
    desk = Desk()
    desk.append(B, (CAUSAL_PUT, b"x", b"1"))
    free, results = desk.append(A, (CAS_VALUE, b"x", [b"1", b"2"]))
    assert (free, results) == (False, [])
    assert desk.over(b"x") == [b"1", Outcome.UNKNOWN]


def test_a_cas_over_an_outcome_that_is_not_known_has_none_either() -> None:
    desk = Desk()
    desk.append(B, (CAUSAL_PUT, b"x", b"1"))
    desk.append(A, (CAS_VALUE, b"x", [b"1", b"2"]))
    desk.tail.applied(Entry(2, 1, 0, [], [B], [1], [1], [1], bytes([CAUSAL_PUT]), [b"x"], [b"1"]))
    desk.witness.release(desk.witness.chains[B], 1, {})
    assert desk.over(b"x") == [Outcome.UNKNOWN], "nothing but A's own is left in the way"
    assert desk.append(A, (CAS_VALUE, b"x", [b"2", b"3"])) == (False, [])


def test_after_one_unknown_outcome_a_run_has_no_more_outcomes() -> None:
    desk = Desk()
    desk.append(B, (CAUSAL_PUT, b"x", b"1"))
    free, results = desk.append(A, (CAS_VALUE, b"y", [None, b"1"]), (CAS_VALUE, b"x", [b"1", b"2"]), (CAS_VALUE, b"z", [None, b"3"]))
    assert (free, results) == (False, [[0, 1]])
    assert desk.over(b"z") == [Outcome.UNKNOWN]


def test_a_cas_on_a_version_waits_while_any_write_to_its_key_is_uncommitted() -> None:
    """Positions of uncommitted writes are not facts: recovery may move them; own writes are no exception."""
    desk = Desk()
    desk.append(A, (PUT, b"x", b"1"))
    assert desk.append(A, (CAS_VERSION, b"x", [0, b"2"])) == (False, [])


def test_a_blocked_session_has_no_outcomes() -> None:
    desk = Desk()
    desk.logged[A].blocked = 3
    assert desk.append(A, (CAS_VALUE, b"x", [None, b"1"])) == (False, [])
    assert desk.over(b"x") == [Outcome.UNKNOWN]


# ------------------------------------------------------------------------------------------------------------------------- conflicts


def test_a_blind_write_over_anothers_loose_causal_write_is_free() -> None:
    """Nobody reads it and nothing has pinned it: their order shows in no result."""
    desk = Desk()
    desk.append(B, (CAUSAL_PUT, b"x", b"1"))
    assert desk.append(A, (PUT, b"x", b"2")) == (True, [])


def test_a_write_over_anothers_strong_or_pinned_write_is_not() -> None:
    desk = Desk()
    desk.append(B, (CAUSAL_PUT, b"x", b"1"), (PUT, b"y", b"1"))
    for key in (b"x", b"y"):
        other = copy.deepcopy(desk)
        assert other.append(A, (PUT, key, b"2"))[0] is False
        assert other.logged[A].blocked == 1


def test_a_refused_command_in_the_log_is_a_conflict_the_witness_does_not_show() -> None:
    desk = Desk()
    desk.append(A, (PUT, b"x", b"1"))
    desk.append(B, (PUT, b"x", b"2"), (PUT, b"y", b"2"))
    free, _ = desk.append(A, (PUT, b"y", b"1"))
    assert (free, desk.witness.chains[A].accepted) == (False, 2), "A's y is accepted here, but B's refused y is before it in the log"
    assert desk.logged[A].blocked == 2


def test_a_refused_command_in_the_log_stays_a_conflict_when_an_earlier_write_of_its_key_is_applied() -> None:
    desk = Desk()
    desk.witness.open(C)
    desk.logged[C] = Logged(0)
    desk.append(A, (CAUSAL_PUT, b"x", b"1"))
    desk.append(C, (PUT, b"y", b"1"))
    desk.append(B, (PUT, b"y", b"2"), (PUT, b"x", b"2"))
    desk.tail.applied(Entry(2, 1, 0, [], [A], [1], [1], [1], bytes([CAUSAL_PUT]), [b"x"], [b"1"]))
    desk.witness.release(desk.witness.chains[A], 1, {})
    free, _ = desk.append(A, (PUT, b"x", b"3"))
    assert (free, desk.witness.chains[A].accepted) == (False, 2), "A's second x is accepted here, but B's refused x is before it in the log"


def test_a_command_whose_only_obstacle_is_its_predecessor_blocks_nothing() -> None:
    """REFUSED is not final: when the predecessor commits, later commands of the session are speculated again."""
    desk = Desk()
    desk.append(A, (PUT, b"x", b"1"))
    desk.append(B, (PUT, b"x", b"2"))
    assert desk.logged[B].blocked == 1
    assert desk.append(B, (PUT, b"z", b"2")) == (False, [])
    assert desk.logged[B].blocked == 1


def test_a_command_behind_a_refused_one_may_have_an_obstacle_of_its_own_in_its_compound_footprint() -> None:
    desk = Desk()
    desk.append(A, (PUT, b"x", b"1"), (PUT, b"y", b"1"))
    desk.append(B, (PUT, b"x", b"2"))
    desk.append(B, (CAUSAL_PUT, b"y", b"2"))
    assert desk.append(B, (PUT, b"z", b"2")) == (False, [])
    assert desk.logged[B].blocked == 3


def test_a_run_that_is_not_held_here_is_not_free() -> None:
    desk = Desk()
    assert desk.append(A, (PUT, b"x", b"1"), held=False)[0] is False


# ------------------------------------------------------------------------------------------------------- a leader against a plain model


class Model:
    """A leader of three with a plain model beside it: the log as a list, the rule of docs/protocol.md pair by pair."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.node = Node(CoreConfig(id=0, voters=(0, 1, 2)), view=1, leader=0)
        self.leader = Leader(self.node)
        self.node.on_applied = self.leader.on_applied
        self.leader.start()
        self.leader.registrar.on_open_session("c", OpenSession([b"a", b"b", b"c"], 1.0))
        self.commit()
        self.sessions = list(self.node.witness.chains)
        self.oracle = Oracle({session: Held() for session in self.sessions})
        self.tail: list[tuple[int, int, int, bytes]] = []  # (session, number, kind, key), uncommitted
        self.told: dict[tuple[int, int], bool] = {}
        self.speculated = self.unobstructed = 0

    def commit(self) -> None:
        """Commit and apply the whole log."""
        self.leader.close_turn()
        self.leader.on_accept_ack(1, AcceptAck(1, 1, self.node.log.last_index, 0, []))
        while self.node.apply(1000):
            pass

    def draw(self) -> list[Command]:
        commands: list[Command] = []
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            kind, key = self.rng.choice((PUT, DELETE, CAS_VALUE, CAS_VERSION, CAUSAL_PUT)), self.rng.choice((b"x", b"y", b"z", b"w"))
            new = b"%d" % self.rng.randrange(3)
            expected: Value | int = self.node.store.get_entry(key)[1] if kind == CAS_VERSION else self.rng.choice((None, b"0", b"1", b"2"))
            commands.append((kind, key, [expected, new] if kind in (CAS_VALUE, CAS_VERSION) else None if kind == DELETE else new))
        return commands

    def submit(self) -> None:
        """One session's commands reach the leader."""
        session, commands = self.rng.choice(self.sessions), self.draw()
        chain = self.node.witness.chains[session]
        first = chain.held + 1
        loose = self.oracle.sessions[session].compound(1 << 60)
        alone = not self.foreign(session) and not self.obstructed(session)
        self.oracle.hold(session, first, [(kind, key) for kind, key, _ in commands])
        self.node.witness.hold(chain, Run(first, first + len(commands) - 1, *columns(tuple(commands)), 1), 0.0)
        speculation = Speculation()
        assert self.leader.append(chain, speculation)
        strong = any(not kind & CAUSAL for kind, _, _ in commands)
        versions = any(kind == CAS_VERSION for kind, _, _ in commands)
        if speculation.sessions:
            self.speculated += 1
            assert (speculation.sessions, speculation.firsts, speculation.counts) == ([session], [first], [len(commands)])
            self.judge(session, first, commands, loose)
            self.told |= {(session, first + place): bool(outcome) for place, outcome in speculation.results}
        elif strong and alone and not versions:
            raise AssertionError("nothing stood in its way")
        rows = [row for rows in self.leader.tail.writes.values() for row in rows]
        assert all(number <= self.leader.logged[owner].blocked for owner, number, written, _ in rows if written is Outcome.UNKNOWN)
        self.unobstructed += strong and alone
        self.tail += [(session, number, kind, key) for number, (kind, key, _) in enumerate(commands, first)]

    def foreign(self, session: int) -> list[tuple[int, int, int, bytes]]:
        return [row for row in self.tail if row[0] != session]

    def obstructed(self, session: int) -> bool:
        """Whether an uncommitted command of the session was not answered speculatively."""
        return self.leader.logged[session].blocked > self.node.witness.chains[session].committed if session in self.leader.logged else False

    def judge(self, session: int, first: int, commands: list[Command], loose: set[int]) -> None:
        """The rule, pair by pair: nothing of another session before it in the tail conflicts with a command that was speculated."""
        held = self.oracle.sessions[session]
        for number, (kind, key, _) in enumerate(commands, first):
            if kind & CAUSAL:
                loose = loose | {number}
                continue
            assert number in held.ok
            for other, place, rival, rival_key in self.foreign(session):
                theirs = footprint_of(rival, rival_key)
                assert not theirs.writes.overlaps(footprint_of(kind, key).reads)
                if not rival & CAUSAL or place in self.oracle.sessions[other].anchored:
                    compound = [self.oracle.footprint(session, member) for member in sorted(loose | {number})]
                    assert not any(conflicts(theirs, mine) for mine in compound)
            loose = set()

    def settle(self) -> None:
        """Commit everything: each outcome that was told is the one that applying gives."""
        self.commit()
        for (session, number), outcome in self.told.items():
            assert self.node.sessions.result(session, number) == outcome, (session, number)
        self.told.clear()
        self.tail.clear()
        for session, chain in self.node.witness.chains.items():
            self.oracle.commit(session, chain.committed)
        assert not self.leader.tail.writes
        assert not self.leader.tail.rogue


@pytest.mark.parametrize("seed", range(60))
def test_what_is_speculated_conflicts_with_nothing_and_comes_true(seed: int) -> None:
    model = Model(seed)
    for _ in range(25):
        for _ in range(model.rng.randrange(1, 7)):
            model.submit()
        model.settle()
    assert model.speculated > 10
    assert model.unobstructed > 10
