"""Which planted bugs small scopes find, and in which: with the steps that lead there, and no chance in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from tests.scopes.scope import Operation, Scope
from tests.scopes.scopes import SCOPES, A, B

if TYPE_CHECKING:
    from collections.abc import Mapping

ONE = {"p": A.programs["p"]}
SMALL: Mapping[str, Scope] = {
    "reads": B,
    "two reads": Scope("rr", {**ONE, "q": (Operation(b"x"), Operation(b"x"))}),
    "death": SCOPES["g"],
    "loss": attrs.evolve(A, name="loss", programs=ONE, losses=1, duplicates=1),
    "crash": attrs.evolve(A, name="crash", programs=ONE, crashes=1, victims=(0,)),
    "election": attrs.evolve(A, name="election", programs=ONE, elections=1, candidates=(2,), cut=((2, 0), (0, 2), (0, 1), (1, 0))),
}
"""Scopes that are small enough to be explored with nothing left out."""

PLANTED: Mapping[str, tuple[str, str]] = {
    "slow_path_by_acks": ("a", "I-FAST"),
    "k_majority": ("a", "I-FAST"),
    "no_overlay": ("reads", "no order explains"),
    "dedup_only_executed": ("election", "command 1 after 1"),
    "logs_its_tail_again": ("crash", "command 1 after 1"),
    "mixed_views": ("election", "I-FAST"),
    "keeps_conflicting_entries": ("election", "no order explains"),
    "numbers_do_not_count": ("election", "applied 2 of 1 commands"),
}
"""``{bug: (the scope that finds it, what its failure says)}``."""


def scope_of(name: str) -> Scope:
    """Return a scope by its name, small or not."""
    return SMALL[name] if name in SMALL else SCOPES[name]
