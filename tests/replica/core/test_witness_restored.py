from __future__ import annotations

import pytest

from replica.core.witness import Chain, Run, Witness
from statemachine.command import CAS_VALUE, CAUSAL, DELETE, PUT
from tests.replica.core.test_witness import A, B, C, hold, levels, release, run, witness_of

CAUSAL_PUT = PUT | CAUSAL


def restored(witness: Witness, session: int, *runs: Run, accepted: int = 0, anchored: int = 0, done: int = 0) -> tuple[int, int, int, int]:
    """Give a fresh chain what the disk tells; returns its levels."""
    witness.restore(witness.chains[session], list(runs), accepted, anchored, done)
    witness.check_invariants()
    return levels(witness.chains[session])


def test_a_restored_chain_has_its_levels_its_anchors_and_its_loose_writes() -> None:
    witness = witness_of(A, B)
    assert restored(witness, A, run(1, (PUT, b"x"), (CAUSAL_PUT, b"y")), run(3, (PUT, b"z")), accepted=2, anchored=1) == (0, 1, 2, 3)
    assert (witness.commands, witness.value_bytes, witness.chains[A].loose) == (3, 3, [(2, b"y")])
    assert levels(hold(witness, B, (PUT, b"x"))) == (0, 0, 0, 1)
    assert levels(hold(witness_of(B), B, (PUT, b"y"))) == (0, 1, 1, 1)


def test_what_is_committed_is_not_restored_and_no_level_is_below_it() -> None:
    witness = witness_of(A)
    assert restored(witness, A, run(1, (PUT, b"x"), (PUT, b"y")), run(3, (PUT, b"z")), accepted=1, anchored=1, done=2) == (0, 2, 2, 3)
    assert (witness.commands, witness.anchored) == (1, {})
    assert restored(witness_of(A), A, run(1, (PUT, b"x")), accepted=1, anchored=1, done=4) == (0, 4, 4, 4)


def test_levels_that_reach_beyond_what_is_held_are_cut() -> None:
    assert restored(witness_of(A), A, run(1, (PUT, b"x")), accepted=9, anchored=9) == (0, 1, 1, 1)


def test_when_all_chains_are_restored_what_was_refused_is_judged_again() -> None:
    witness = witness_of(A, B)
    restored(witness, A, run(1, (PUT, b"x")), accepted=1, anchored=1)
    restored(witness, B, run(1, (PUT, b"x"), (PUT, b"y")))
    promoted: dict[int, Chain] = {}
    witness.retry_all(promoted)
    assert (levels(witness.chains[B]), promoted) == ((0, 0, 0, 2), {})
    assert list(release(witness, A, 1)) == [B], "it waits for the key again"
    other = witness_of(A, B)
    restored(other, B, run(1, (PUT, b"x"), (PUT, b"y")))
    other.retry_all(promoted)
    assert (levels(other.chains[B]), list(promoted)) == ((0, 2, 2, 2), [B])


def test_a_chain_that_is_given_up_above_a_number_frees_its_keys_there_and_keeps_them_below() -> None:
    witness = witness_of(A, B, C)
    hold(witness, A, (PUT, b"x"), (PUT, b"y"), (CAUSAL_PUT, b"z"))
    hold(witness, B, (PUT, b"y"))
    hold(witness, C, (PUT, b"x"))
    promoted: dict[int, Chain] = {}
    witness.forget_after(witness.chains[A], 1, promoted)
    witness.check_invariants()
    assert [levels(witness.chains[session]) for session in (A, B, C)] == [(0, 1, 1, 1), (0, 1, 1, 1), (0, 0, 0, 1)]
    assert (list(promoted), witness.commands, witness.value_bytes) == ([B], 3, 3)
    assert levels(hold(witness, A, (PUT, b"w"))) == (0, 2, 2, 2)


def test_a_key_written_again_above_the_number_is_anchored_by_the_earlier_write() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"x"), (PUT, b"x"))
    witness.forget_after(witness.chains[A], 1, {})
    witness.check_invariants()
    assert levels(hold(witness, B, (PUT, b"x"))) == (0, 0, 0, 1)


@pytest.mark.parametrize("session", [A, A + 1])
@pytest.mark.parametrize("applied", [2**32 - 1, 2**32, 2**33 - 3, 2**62])
def test_however_many_commands_a_session_had_it_is_not_taken_for_its_neighbour(session: int, applied: int) -> None:
    """Sessions that are opened together have ids one after the other; one that lives for days has more than 2**32 commands."""
    for keys in ([b"x"], [b"v", b"w", b"x", b"y", b"z"]):  # one command is judged in another way than many
        witness = witness_of(session, session + 1)
        witness.chains[session].raise_to(applied)
        hold(witness, session, *((PUT, key) for key in keys))
        assert levels(hold(witness, session + 1, (PUT, b"x"))) == (0, 0, 0, 1)
        assert levels(hold(witness, session, (CAUSAL_PUT, b"x"), (PUT, b"x")))[2] == applied + len(keys) + 2, "nor for somebody else"
        assert release(witness, session, applied + len(keys) + 2).keys() == {session + 1}


def test_what_is_not_there_is_given_up_without_harm() -> None:
    witness = witness_of(A, B)
    hold(witness, A, (PUT, b"x"))
    hold(witness, B, (PUT, b"y"))
    witness.forget_after(witness.chains[A], 1, {})
    witness.check_invariants()
    assert (levels(witness.chains[A]), witness.commands) == ((0, 1, 1, 1), 2)


def test_what_is_applied_raises_all_levels_and_lowers_none() -> None:
    chain = Chain(A, committed=2, held=9, accepted=3, anchored=2)
    chain.raise_to(5)
    assert levels(chain) == (5, 5, 5, 9)
    chain.raise_to(1)
    assert levels(chain) == (5, 5, 5, 9)


def test_the_beginning_of_a_run_is_its_columns_cut() -> None:
    whole = run(5, (PUT, b"a"), (DELETE, b"b"), (CAS_VALUE, b"c"))
    begin = whole.upto(6)
    assert (begin.first, begin.last, begin.kinds, begin.keys, begin.values) == (5, 6, whole.kinds[:2], [b"a", b"b"], whole.values[:2])
    assert whole.upto(7) is whole
