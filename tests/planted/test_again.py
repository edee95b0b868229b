"""A planted bug that chance has moved is looked for elsewhere: by the same rule, and it is said where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.planted.again import WORLDS, find_again, moved, say_moved
from tests.sim.planted import RECORDED

if TYPE_CHECKING:
    import pytest

BUG = "stale_deadline"
SEED, SAID = RECORDED[BUG]
CALM = 8
"""A seed that does not find it; the next of its mode and size does."""


def test_a_recorded_seed_that_finds_its_bug_is_nothing_to_speak_of() -> None:
    found = find_again(BUG)
    assert found
    assert (found.seed, moved(BUG, found)) == (SEED, "")


def test_a_bug_that_moved_is_found_by_another_seed_of_its_mode_and_size_which_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECORDED, BUG, (CALM, SAID))
    told = say_moved(BUG)
    assert told == f"{BUG}: seed {CALM} does not say 'spins' any more, seed {CALM + WORLDS} does: record that one (tests/sim/planted*.py)"


def test_another_rule_than_the_recorded_one_finds_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with the recorded seed, which fails here."""
    monkeypatch.setitem(RECORDED, BUG, (SEED, "I-GC"))
    assert find_again(BUG, others=1) is None
    assert moved(BUG, None).startswith(f"{BUG}: neither seed {SEED} nor ")
