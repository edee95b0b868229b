"""Wrong witnesses, planted like the bugs of ``planted``: chains that are not chains, levels that are not there, limits that are not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replica.core import reads as reads_module
from replica.core.node import Node
from replica.core.reads import StrongReads
from replica.core.voter import Voter
from replica.core.witness import Witness, value_bytes
from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, evaluate_cas

if TYPE_CHECKING:
    from collections.abc import Callable

Patch = tuple[Any, str, Any]


def no_chain() -> list[Patch]:
    """D1: a witness goes on behind a refused command: it accepts what follows without what that depends on."""
    hold = Witness.hold

    def go_on(self: Any, chain: Any, run: Any, now: float) -> None:
        before, chain.accepted = chain.accepted, chain.held
        hold(self, chain, run, now)
        if chain.accepted < run.first:
            chain.accepted = before

    return [(Witness, "hold", go_on)]


def anchors_what_is_refused() -> list[Patch]:
    """A strong read rests on what a witness holds, accepted or not."""
    anchor = Witness.anchor

    def whatever_is_held(self: Any, chain: Any, dependency: int) -> int:
        level = anchor(self, chain, dependency)
        return dependency if level < dependency <= chain.held else level

    return [(Witness, "anchor", whatever_is_held)]


def takes_anchors_over() -> list[Patch]:
    """D6, D65: a refused command takes the place of the accepted one that it conflicts with."""
    anchor_loose = Witness._anchor_loose

    def overwrite(self: Any, chain: Any, upto: int) -> bool:
        if anchor_loose(self, chain, upto):
            return True
        self.anchored.pop(chain.loose[-1][1], None)
        return False

    return [(Witness, "_anchor_loose", overwrite)]


def phantom_records() -> list[Patch]:
    """D13: a record that comes behind the entry with its commands is held, and nothing ever lets it go."""
    hold = Voter._hold

    def hold_late(self: Any, chain: Any, run: Any, previous: int, leader: Any, again: Any) -> int:
        if leader is None and run.last <= chain.committed and not chain.runs:
            witness = self.node.witness
            chain.runs.append(run)
            witness.commands += len(run.keys)
            witness.value_bytes += value_bytes(run.values)
        return hold(self, chain, run, previous, leader, again)

    return [(Voter, "_hold", hold_late)]


def speaks_of_the_old_view() -> list[Patch]:
    """A replica that joins a higher view still says what it had to say in the old one. (An Xline witness names no view at all.)"""
    join = Node.join

    def and_keep(self: Any, *arguments: Any, **more: Any) -> None:
        held, outbox = self.held_replies.copy(), {link: list(sections) for link, sections in self.outbox.items()}
        join(self, *arguments, **more)
        self.outbox = outbox
        self.held_replies.extendleft(reversed(held))

    return [(Node, "join", and_keep)]


def judged_anew() -> list[Patch]:
    """Who is asked again for the outcome of a cas judges it by the present state."""
    answer_again = Voter._answer_again

    def as_of_now(self: Any, source: Any, again: Any, leader: Any) -> None:
        node = self.node
        for chain, run in again:
            kept = node.sessions.table[chain.session].results
            for number, kind, key, value in zip(range(run.first, run.last + 1), run.kinds, run.keys, run.values, strict=True):
                if kind & ~CAUSAL in {CAS_VALUE, CAS_VERSION} and number in kept:
                    kept[number] = evaluate_cas(kind, value[0], *node.store.get_entry(key))
        answer_again(self, source, again, leader)

    return [(Voter, "_answer_again", as_of_now)]


def later_own_writes() -> list[Patch]:
    """A strong read shows own writes issued after it."""
    over = reads_module._over

    def all_of_them(rows: Any, session: int, dependency: int, value: Any, version: int) -> tuple[int, Any, int]:  # noqa: ARG001
        return over(rows, session, 1 << 60, value, version)

    return [(reads_module, "_over", all_of_them)]


def never_full() -> list[Patch]:
    """D56: a witness holds whatever comes."""
    return [(Witness, "full", lambda self, count: False)]  # noqa: ARG005 - the signature is the core's


def reads_wait_without_limit() -> list[Patch]:
    """D56: reads that must wait all find room."""

    def park(self: Any, index: int, reads: Any) -> None:
        self.parked.setdefault(index, []).append(reads)
        self.count += len(reads.queries)

    return [(StrongReads, "_park", park)]


CHAIN_BUGS: dict[str, Callable[[], list[Patch]]] = {
    bug.__name__: bug
    for bug in (
        no_chain, anchors_what_is_refused, takes_anchors_over, phantom_records, speaks_of_the_old_view, judged_anew, later_own_writes,
        never_full, reads_wait_without_limit,
    )
}  # fmt: skip

CHAIN_RECORDED: dict[str, tuple[int, str, str | None]] = {
    "no_chain": (1, "I-WIT", "storm"),
    "anchors_what_is_refused": (1, "I-FAST", "storm"),
    "takes_anchors_over": (3, "I-WIT", None),
    "phantom_records": (3, "I-WIT", None),
    "speaks_of_the_old_view": (1, "I-ACK", "outage"),
    "judged_anew": (3, "I-ONE", None),
    "later_own_writes": (9, "has version", "schism"),
    "never_full": (1, "I-GC", "straits"),
    "reads_wait_without_limit": (1, "I-GC", None),
}
"""``{bug: (a seed that finds it, what its failure says, the world it is found in; None: any)}``."""
