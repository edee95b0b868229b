"""The scopes: three replicas, and as little else as shows what the protocol must get right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from tests.scopes.scope import Operation, Scope
from tests.scopes.search import search

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.scopes.search import Found

X, Y = b"x", b"y"
WRITE = {"p": (Operation(X, b"1"),)}
WRITES = {**WRITE, "q": (Operation(X, b"2"),)}
WRITE_AND_READ = {**WRITE, "q": (Operation(X),)}
CHAIN = {"p": (Operation(X, b"1", causal=True), Operation(Y, b"2", waits=False)), "q": (Operation(Y), Operation(X))}
CHAIN_AND_READ = {**CHAIN, "q": (Operation(Y),)}
CHAIN_AND_OTHER_READ = {**CHAIN, "q": (Operation(X),)}

A = Scope("a", WRITES)
B = Scope("b", WRITE_AND_READ)
C = Scope("c", CHAIN)


def between(one: int, *others: int) -> tuple[tuple[int, int], ...]:
    """Return the links between a replica and some others, both ways."""
    return tuple([pair for other in others for pair in ((one, other), (other, one))])


def one_election(scope: Scope, name: str, cut: tuple[tuple[int, int], ...], shrunk: str) -> Scope:
    """Return a scope with an election that replica 2 may ask for at any moment."""
    told = f"only replica 2 asks for votes; {shrunk}; clients hear everything at once"
    return attrs.evolve(scope, name=name, elections=1, candidates=(2,), cut=cut, prompt=True, shrunk=told)


def one_crash(programs: Mapping[str, tuple[Operation, ...]], name: str, victim: int, shrunk: str) -> Scope:
    """Return a scope in which a replica may die at any moment, and comes back."""
    return Scope(name, programs, crashes=1, victims=(victim,), prompt=True, shrunk=f"{shrunk}; clients hear everything at once")


OLD_LEADER = "it does not reach the old leader, which goes on"
OTHER_FOLLOWER = "it does not reach the other follower"
ALONE = "the old leader is cut off from both followers, and goes on"
STRONG_KEY = "`q` reads the strong write's key only"
CAUSAL_KEY = "`q` reads the causal write's key only"
SCOPES = {
    scope.name: scope
    for scope in (
        A, B, C,
        attrs.evolve(A, name="d", programs=WRITE, elections=1, shrunk="`p` alone"),
        one_election(A, "da0", between(2, 0), OLD_LEADER),
        one_election(A, "da1", between(2, 1), OTHER_FOLLOWER),
        one_election(B, "db0", between(2, 0), OLD_LEADER),
        one_election(B, "db1", between(2, 1), OTHER_FOLLOWER),
        one_election(attrs.evolve(C, programs=CHAIN_AND_READ), "dc0", between(0, 1, 2), f"{ALONE}; {STRONG_KEY}"),
        one_election(attrs.evolve(C, programs=CHAIN_AND_OTHER_READ), "dc1", between(0, 1, 2), f"{ALONE}; {CAUSAL_KEY}"),
        attrs.evolve(A, name="ea0", crashes=1, victims=(0,), shrunk="only the leader dies"),
        attrs.evolve(A, name="ea1", crashes=1, victims=(1,), prompt=True, shrunk="only replica 1 dies; clients hear everything at once"),
        attrs.evolve(A, name="ea2", crashes=1, victims=(2,), prompt=True, shrunk="only replica 2 dies; clients hear everything at once"),
        one_crash(CHAIN_AND_READ, "ec0", 0, f"only the leader dies; {STRONG_KEY}"),
        one_crash(CHAIN_AND_OTHER_READ, "ec1", 0, f"only the leader dies; {CAUSAL_KEY}"),
        one_crash(CHAIN_AND_READ, "ec2", 2, f"only replica 2 dies; {STRONG_KEY}"),
        attrs.evolve(A, name="f", losses=1, duplicates=1),
        Scope("g", {"p": (Operation(X, b"1", causal=True),)}, deaths=1),
        attrs.evolve(A, name="ha", mode="paxos"), attrs.evolve(A, name="hb", mode="curp"), attrs.evolve(A, name="hc", mode="ht"),
    )
}  # fmt: skip
"""By name: the letters of docs/testing.md."""

LONG = ("da0", "dc0", "dc1", "ea1", "ea2", "ec0", "ec1", "ec2")
QUICK = tuple([name for name in SCOPES if name not in LONG])
"""Those that are explored with every change; the others take longer."""


def explore(name: str, states_max: int) -> Found:
    """Explore one scope; worker processes find this by its name."""
    return search(SCOPES[name], states_max)
