"""The scopes: three replicas, and as little else as shows what the protocol must get right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from tests.scopes.machine import Operation, Scope
from tests.scopes.search import search

if TYPE_CHECKING:
    from tests.scopes.search import Found

X, Y = b"x", b"y"
WRITES = {"p": (Operation(X, b"1"),), "q": (Operation(X, b"2"),)}
WRITE_AND_READ = {"p": (Operation(X, b"1"),), "q": (Operation(X),)}
CHAIN = {"p": (Operation(X, b"1", causal=True), Operation(Y, b"2", waits=False)), "q": (Operation(Y), Operation(X))}

A = Scope("a", WRITES)
B = Scope("b", WRITE_AND_READ)
C = Scope("c", CHAIN)
SCOPES = {
    scope.name: scope
    for scope in (
        A, B, C,
        attrs.evolve(A, name="da", elections=1), attrs.evolve(B, name="db", elections=1), attrs.evolve(C, name="dc", elections=1),
        attrs.evolve(A, name="ea", crashes=1), attrs.evolve(C, name="ec", crashes=1),
        attrs.evolve(A, name="f", losses=1, duplicates=1),
        Scope("g", {"p": (Operation(X, b"1", causal=True),)}, deaths=1),
        attrs.evolve(A, name="ha", mode="paxos"), attrs.evolve(A, name="hb", mode="curp"), attrs.evolve(A, name="hc", mode="ht"),
    )
}  # fmt: skip
"""By name: the letters of docs/testing.md."""

QUICK = ("a", "b", "g", "ha", "hb", "hc")
"""Those that are explored with every change; the others take longer."""


def explore(name: str, states_max: int) -> Found:
    """Explore one scope; worker processes find this by its name."""
    return search(SCOPES[name], states_max)
