from __future__ import annotations

import copy
from itertools import permutations
from typing import TYPE_CHECKING

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from replica.core.witness import Chain, Run, Witness
from statemachine.command import CAS_VALUE, CAUSAL, DELETE, PUT
from statemachine.store import Store
from tests.replica.core.witness_oracle import Held, Oracle

if TYPE_CHECKING:
    from replica.core.messages import Value

A, B, C = 10, 20, 30
CAUSAL_PUT = PUT | CAUSAL


def witness_of(*sessions: int, commands_max: int = 1000) -> Witness:
    witness = Witness(commands_max)
    for session in sessions:
        witness.open(session)
    return witness


def run(first: int, *commands: tuple[int, bytes]) -> Run:
    kinds, keys = bytes(kind for kind, _ in commands), [key for _, key in commands]
    values: list[Value] = [b"v" if kind & ~CAUSAL == PUT else None if kind & ~CAUSAL == DELETE else [b"v", b"w"] for kind in kinds]
    return Run(first, first + len(kinds) - 1, kinds, keys, values, 1)


def hold(witness: Witness, session: int, *commands: tuple[int, bytes]) -> Chain:
    """Give a session's next commands to the witness."""
    chain = witness.chains[session]
    witness.hold(chain, run(chain.held + 1, *commands), 0.0)
    witness.check_invariants()
    return chain


def release(witness: Witness, session: int, upto: int) -> dict[int, Chain]:
    promoted: dict[int, Chain] = {}
    witness.release(witness.chains[session], upto, promoted)
    witness.check_invariants()
    return promoted


def levels(chain: Chain) -> tuple[int, int, int, int]:
    return chain.committed, chain.anchored, chain.accepted, chain.held


# ------------------------------------------------------------------------------------------------------------------------ the verdicts


def test_strong_commands_on_different_keys_are_all_accepted() -> None:
    witness = witness_of(A, B)
    assert levels(hold(witness, A, (PUT, b"x"), (DELETE, b"y"))) == (0, 2, 2, 2)
    assert levels(hold(witness, B, (PUT, b"z"))) == (0, 1, 1, 1)


def test_a_conflict_refuses_the_second_but_holds_it() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"x"))
    assert levels(hold(witness, B, (PUT, b"x"))) == (0, 0, 0, 1)
    assert witness.commands == 2


def test_one_session_never_conflicts_with_itself() -> None:
    witness = witness_of(A)
    hold(witness, A, (PUT, b"x"), (PUT, b"x"), (CAS_VALUE, b"x"))
    assert levels(hold(witness, A, (DELETE, b"x"))) == (0, 4, 4, 4)


def test_a_refused_command_breaks_its_chain() -> None:
    """D7: what follows it is held and not counted, whatever it touches."""
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"x"))
    hold(witness, B, (PUT, b"y"), (PUT, b"x"), (PUT, b"z"))
    assert levels(hold(witness, B, (PUT, b"w"))) == (0, 1, 1, 4)
    assert levels(hold(witness, A, (PUT, b"z"))) == (0, 2, 2, 2), "a refused command stands in nobody's way"


def test_causal_writes_of_different_sessions_are_held_side_by_side() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (CAUSAL_PUT, b"x"))
    assert levels(hold(witness, B, (CAUSAL_PUT, b"x"))) == (0, 0, 1, 1)


def test_a_loose_causal_write_refuses_nobody() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (CAUSAL_PUT, b"x"))
    assert levels(hold(witness, B, (PUT, b"x"))) == (0, 1, 1, 1)


def test_a_strong_command_is_judged_with_the_causal_writes_before_it() -> None:
    """The compound footprint: x is taken, so A's strong command on y is refused for A's causal write on x."""
    witness = witness_of(A, B)
    hold(witness, A, (CAUSAL_PUT, b"x"))
    hold(witness, B, (PUT, b"x"))
    assert levels(hold(witness, A, (PUT, b"y"))) == (0, 0, 1, 2)


def test_accepting_a_strong_command_pins_the_causal_writes_before_it_and_none_after() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (CAUSAL_PUT, b"x"), (PUT, b"y"), (CAUSAL_PUT, b"z"))
    assert levels(witness.chains[A]) == (0, 2, 3, 3)
    assert levels(hold(witness, B, (PUT, b"z"))) == (0, 1, 1, 1)
    assert levels(hold(witness, B, (PUT, b"x"))) == (0, 1, 1, 2)


def test_a_causal_write_over_an_own_strong_command_lifts_no_anchor() -> None:
    """D6: the prototype's one entry for each key let a later causal write hide a pending strong one."""
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"x"), (CAUSAL_PUT, b"x"))
    assert levels(hold(witness, B, (PUT, b"x"))) == (0, 0, 0, 1)


def test_a_run_is_judged_command_by_command_where_it_meets_something() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"c"))
    assert levels(hold(witness, B, (PUT, b"a"), (CAUSAL_PUT, b"b"), (PUT, b"c"), (PUT, b"d"))) == (0, 1, 2, 4)


# -------------------------------------------------------------------------------------------------------------- what ends a refusal


def test_a_refused_command_is_accepted_when_what_blocked_it_is_committed() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"x"))
    hold(witness, B, (PUT, b"x"), (PUT, b"y"))
    assert release(witness, A, 1) == {B: witness.chains[B]}
    assert levels(witness.chains[B]) == (0, 2, 2, 2)
    assert levels(hold(witness, A, (PUT, b"y"))) == (1, 1, 1, 2), "now B's are anchored"


def test_a_refused_command_is_accepted_when_its_refused_predecessor_is_committed() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"x"))
    hold(witness, B, (PUT, b"x"), (PUT, b"y"))
    assert release(witness, B, 1) == {B: witness.chains[B]}
    assert levels(witness.chains[B]) == (1, 2, 2, 2)


def test_a_refused_command_is_accepted_when_the_causal_write_that_met_a_conflict_is_committed() -> None:
    """What stood in its way was in its compound footprint, and is there no more."""
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"x"))
    hold(witness, B, (CAUSAL_PUT, b"x"))
    assert levels(hold(witness, B, (PUT, b"y"))) == (0, 0, 1, 2)
    assert release(witness, B, 1) == {B: witness.chains[B]}
    assert levels(witness.chains[B]) == (1, 2, 2, 2)


def test_a_key_written_again_stays_anchored_until_its_last_write_is_committed() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"x"), (PUT, b"x"))
    hold(witness, B, (PUT, b"x"))
    assert release(witness, A, 1) == {}
    assert release(witness, A, 2) == {B: witness.chains[B]}


def test_of_two_that_waited_one_is_accepted() -> None:
    witness = witness_of(A, B, C)
    hold(witness, A, (PUT, b"x"))
    hold(witness, B, (PUT, b"x"))
    hold(witness, C, (PUT, b"x"))
    assert len(release(witness, A, 1)) == 1
    winner, loser = sorted((witness.chains[B], witness.chains[C]), key=lambda chain: -chain.accepted)
    assert (winner.accepted, loser.accepted) == (1, 0)
    assert release(witness, winner.session, 1) == {loser.session: loser}


def test_a_promotion_may_stop_at_the_next_obstacle() -> None:
    witness = witness_of(A, B, C)
    hold(witness, A, (PUT, b"x"))
    hold(witness, C, (PUT, b"z"))
    hold(witness, B, (PUT, b"x"), (PUT, b"y"), (PUT, b"z"))
    assert release(witness, A, 1) == {B: witness.chains[B]}
    assert levels(witness.chains[B]) == (0, 2, 2, 3)
    assert release(witness, C, 1) == {B: witness.chains[B]}
    assert levels(witness.chains[B]) == (0, 3, 3, 3)


def test_part_of_a_run_can_be_released() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"x"), (PUT, b"y"), (CAUSAL_PUT, b"z"))
    release(witness, A, 1)
    assert (levels(witness.chains[A]), witness.commands) == ((1, 2, 3, 3), 2)
    assert levels(hold(witness, B, (PUT, b"x"))) == (0, 1, 1, 1)
    assert levels(hold(witness, B, (PUT, b"y"))) == (0, 1, 1, 2)


def test_what_the_log_brings_before_the_client_counts_as_held_and_leaves_nothing_behind() -> None:
    """D13: a record that comes after its commit."""
    witness = witness_of(A, B)
    release(witness, A, 3)
    assert (levels(witness.chains[A]), witness.commands) == ((3, 3, 3, 3), 0)
    assert levels(hold(witness, A, (PUT, b"x"))) == (3, 4, 4, 4)


def test_a_closed_session_leaves_nothing_and_frees_who_waited() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"x"), (CAUSAL_PUT, b"y"))
    hold(witness, B, (PUT, b"x"))
    promoted: dict[int, Chain] = {}
    witness.close(A, promoted)
    witness.check_invariants()
    assert promoted == {B: witness.chains[B]}
    assert (witness.chains[B].accepted, witness.commands) == (1, 1)
    witness.close(A, promoted)
    assert witness.commands == 1


def test_a_session_that_waited_and_was_closed_is_not_woken() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"x"))
    hold(witness, B, (PUT, b"x"))
    witness.close(B, {})
    assert release(witness, A, 1) == {}


# ----------------------------------------------------------------------------------------------------------- anchors for strong reads


def test_an_anchor_pins_the_causal_writes_up_to_its_dependency_only() -> None:
    witness = witness_of(A, B)
    chain = hold(witness, A, (CAUSAL_PUT, b"x"), (CAUSAL_PUT, b"y"))
    assert witness.anchor(chain, 1) == 1
    witness.check_invariants()
    assert levels(hold(witness, B, (PUT, b"y"))) == (0, 1, 1, 1)
    assert levels(hold(witness, B, (PUT, b"x"))) == (0, 1, 1, 2)


def test_an_anchor_that_meets_a_conflict_pins_nothing() -> None:
    witness = witness_of(A, B)
    hold(witness, B, (PUT, b"y"))
    chain = hold(witness, A, (CAUSAL_PUT, b"x"), (CAUSAL_PUT, b"y"))
    assert witness.anchor(chain, 2) == 0
    assert levels(hold(witness, B, (PUT, b"x"))) == (0, 2, 2, 2)


def test_an_anchor_beyond_a_refused_command_or_a_gap_pins_nothing() -> None:
    witness = witness_of(A, B)
    hold(witness, B, (PUT, b"x"))
    chain = hold(witness, A, (PUT, b"x"), (CAUSAL_PUT, b"y"))
    assert witness.anchor(chain, 2) == 0
    assert witness.anchor(chain, 9) == 0
    release(witness, B, 1)
    assert witness.anchor(chain, 9) == 1
    assert witness.anchor(chain, 2) == 2


def test_the_committed_part_needs_no_anchor() -> None:
    witness = witness_of(A)
    release(witness, A, 5)
    assert witness.anchor(witness.chains[A], 5) == 5


# ------------------------------------------------------------------------------------------------------------------------- the limit


def test_the_limit_counts_all_sessions() -> None:
    witness = witness_of(A, B, commands_max=3)
    hold(witness, A, (PUT, b"x"), (PUT, b"y"))
    assert not witness.full(1)
    assert witness.full(2)
    hold(witness, B, (CAUSAL_PUT, b"z"))
    assert witness.full(1)
    release(witness, A, 1)
    assert not witness.full(1)


def test_the_rest_of_a_run_is_its_columns_cut() -> None:
    whole = run(5, (PUT, b"a"), (DELETE, b"b"), (CAS_VALUE, b"c"))
    rest = whole.after(5)
    assert (rest.first, rest.last, rest.kinds, rest.keys, rest.values) == (6, 7, whole.kinds[1:], [b"b", b"c"], whole.values[1:])
    assert whole.after(4) is whole


# ---------------------------------------------------------------------------------------------------------- against brute force

KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
COMMANDS = st.lists(st.tuples(st.sampled_from([PUT, PUT, DELETE, CAS_VALUE, CAUSAL_PUT, DELETE | CAUSAL]), KEYS), min_size=1, max_size=4)
SESSION = st.sampled_from([A, B, C])


class Witnessing(RuleBasedStateMachine):
    """One witness and the oracle see the same commands, commits and anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.witness = witness_of(A, B, C)
        self.oracle = Oracle({session: Held() for session in (A, B, C)})

    @rule(session=SESSION, commands=COMMANDS, hidden=st.sampled_from([0, 0, 0, 0, 0, 1, 2]))
    def hold(self, session: int, commands: list[tuple[int, bytes]], hidden: int) -> None:
        """``hidden``: commands before these that the mode shows to no witness."""
        chain = self.witness.chains[session]
        first = chain.held + 1 + hidden
        self.oracle.hold(session, first, commands)
        self.witness.hold(chain, run(first, *commands), 0.0)
        assert self.oracle.adopt(session, chain.accepted, chain.anchored) == set(), "accepted what the rule refuses"

    @rule(session=SESSION, count=st.integers(1, 4), beyond=st.sampled_from([0, 0, 0, 2]))
    def commit(self, session: int, count: int, beyond: int) -> None:
        """``beyond``: the log may hold what never came here."""
        chain = self.witness.chains[session]
        upto = min(chain.committed + count, chain.held) + beyond
        if upto > chain.committed:
            promoted: dict[int, Chain] = {}
            self.witness.release(chain, upto, promoted)
            self.oracle.commit(session, upto)
            fresh = {s: self.oracle.adopt(s, c.accepted, c.anchored) for s, c in self.witness.chains.items()}
            assert {s for s, numbers in fresh.items() if numbers} <= promoted.keys(), "an acceptance nobody is told of"

    @rule(session=SESSION, back=st.integers(-1, 3))
    def anchor(self, session: int, back: int) -> None:
        chain = self.witness.chains[session]
        dependency = max(chain.held - back, 0)
        if dependency > chain.held or dependency <= chain.committed or dependency in self.oracle.sessions[session].commands:
            assert (self.witness.anchor(chain, dependency) >= dependency) == self.oracle.anchor(session, dependency)

    @rule(session=SESSION)
    def reopen(self, session: int) -> None:
        promoted: dict[int, Chain] = {}
        self.witness.close(session, promoted)
        assert session not in promoted
        self.witness.open(session)
        self.oracle.sessions[session] = Held()
        for other, chain in self.witness.chains.items():
            self.oracle.adopt(other, chain.accepted, chain.anchored)

    @invariant()
    def agrees(self) -> None:
        self.witness.check_invariants()
        self.oracle.check()
        for session, held in self.oracle.sessions.items():
            chain = self.witness.chains[session]
            assert (chain.committed, chain.held) == (held.committed, held.held)
            assert {number for number in held.strong() if number <= chain.accepted} == held.ok
            assert {number for number in held.commands if number <= chain.anchored} == held.anchored

    def teardown(self) -> None:
        """Accepted chains give the same values and outcomes in any order of the sessions: what recovery rests on."""
        results = set()
        for order in permutations(self.witness.chains.values()):
            store, outcomes, position = Store(), dict[int, list[bool | None] | None](), 1
            for chain in order:
                numbers = [n for n in sorted(self.oracle.sessions[chain.session].commands) if n <= chain.anchored]
                commands = [self.oracle.sessions[chain.session].commands[n] for n in numbers]
                if commands:
                    columns = run(1, *commands)
                    values = [value if value != b"v" else b"%d.%d" % (chain.session, n) for n, value in zip(numbers, columns.values, strict=True)]
                    outcomes[chain.session] = store.apply(columns.kinds, columns.keys, values, position)
                    position += len(commands)
            results.add(repr((sorted((key, store.read([key])[0]) for key in store.entries), sorted(outcomes.items()))))
        assert len(results) == 1, results


TestWitnessing = Witnessing.TestCase
TestWitnessing.settings = hypothesis.settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_copy_is_judged_by_itself() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"x"))
    other = copy.deepcopy(witness)
    release(witness, A, 1)
    assert levels(hold(other, B, (PUT, b"x"))) == (0, 0, 0, 1)
    assert levels(hold(witness, B, (PUT, b"x"))) == (0, 1, 1, 1)


def test_the_values_held_have_a_limit_and_an_empty_witness_takes_any_run() -> None:
    witness = Witness(commands_max=2, bytes_max=10)
    chain = witness.open(1)
    assert not witness.full(5)
    witness.hold(chain, Run(1, 1, bytes([PUT]), [b"k"], [b"0123456789"], 1), 0.0)
    assert witness.value_bytes == 10
    assert witness.full(1)
    witness.release(chain, 1, {})
    assert witness.value_bytes == 0
    assert not witness.full(5)
