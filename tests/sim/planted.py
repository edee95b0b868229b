"""Wrong variants of the protocol, planted at run time by name: a certificate that never failed proves nothing.

Each replaces methods of the cores while it is planted; nothing of it is in the product. The D numbers are the defects of an earlier prototype
that each repeats; the last ones are mistakes that were in these cores until this simulator found them. Those of witnesses are
in ``planted_chains``, of clients in ``planted_sessions``, of elections, recovery and disks in ``planted_views``, of the log in ``planted_logs``, and
so on. ``RECORDED`` names, for each, a seed whose run finds it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from replica.core import reads as reads_module
from replica.core import voter as voter_module
from replica.core.client import Client
from replica.core.draft import Speculation
from replica.core.follower import Follower
from replica.core.leader import Leader
from replica.core.own_writes import OwnWrites
from replica.core.queries import query
from replica.core.quorum import majority
from replica.core.reads import StrongReads
from replica.core.session import Session
from replica.core.tail import Outcome, Tail
from replica.core.tallies import Tallies
from replica.core.voter import Voter
from replica.core.witness import SESSION_SHIFT, Witness
from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, evaluate_cas
from tests.sim.planted_chains import CHAIN_BUGS, CHAIN_RECORDED
from tests.sim.planted_ends import END_BUGS, END_RECORDED
from tests.sim.planted_logs import LOG_BUGS, LOG_RECORDED
from tests.sim.planted_members import MEMBER_BUGS, MEMBER_RECORDED
from tests.sim.planted_sessions import SESSION_BUGS, SESSION_RECORDED
from tests.sim.planted_skews import SKEW_BUGS, SKEW_RECORDED
from tests.sim.planted_states import STATE_BUGS, STATE_RECORDED
from tests.sim.planted_straits import STRAITS_BUGS, STRAITS_RECORDED
from tests.sim.planted_views import VIEW_BUGS, VIEW_RECORDED
from tests.sim.planted_words import WORD_BUGS, WORD_RECORDED
from tests.sim.storms import STORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Patch = tuple[Any, str, Any]
"""(class or module, name, what stands there instead)."""


def slow_path_by_acks() -> list[Patch]:
    """D2: the leader answers a refused command from committed state, and a majority of acks completes it."""
    append_run = Leader._append_run

    def always_answer(self: Any, logged: Any, chain: Any, run: Any, index: int, speculation: Any) -> None:
        dry = Speculation()
        append_run(self, logged, chain, run, index, dry)
        if dry.sessions:
            speculation.add(chain.session, run, [[place, succeeded] for place, succeeded in dry.results])
            return
        results = []
        for place, (kind, key, value) in enumerate(zip(run.kinds, run.keys, run.values, strict=True)):
            if kind & ~CAUSAL in {CAS_VALUE, CAS_VERSION}:
                results.append([place, int(evaluate_cas(kind, value[0], *self.node.store.get_entry(key)))])
        speculation.add(chain.session, run, results)

    on_verdict = Session.on_verdict

    def held_is_enough(self: Any, place: int, held: int, accepted: int, *, same_view: bool) -> None:
        on_verdict(self, place, held, max(held, accepted), same_view=same_view)

    return [(Leader, "_append_run", always_answer), (Session, "on_verdict", held_is_enough), *k_majority()]


def k_majority() -> list[Patch]:
    """The fast quorum is a majority."""

    def fast_level(self: Any, accepted: list[int]) -> int:
        leader = self.client.place.get(self.client.leader, -1)
        others = sorted((level for place, level in enumerate(accepted) if place != leader), reverse=True)
        return int(others[majority(len(accepted)) - 2])

    return [(Tallies, "fast_level", fast_level)]


def no_overlay() -> list[Patch]:
    """D3, D5: the leader speculates from its applied state alone, without its log tail."""

    def evaluate(self: Any, session: int, kind: int, key: bytes, expected: object) -> bool:  # noqa: ARG001 - the signature is the core's
        return evaluate_cas(kind, expected, *self.store.get_entry(key))

    def over(rows: Any, session: int, dependency: int, value: Any, version: int) -> tuple[int, Any, int]:  # noqa: ARG001
        return 0, value, version

    def last_write_in(self: Any, scan: Any) -> int:  # noqa: ARG001
        return 0

    return [(Tail, "_evaluate", evaluate), (reads_module, "_over", over), (StrongReads, "_last_write_in", last_write_in)]


def read_dirty() -> list[Patch]:
    """D9: the leader answers with the newest value of its tail, whoever wrote it."""

    def over(rows: Any, session: int, dependency: int, value: Any, version: int) -> tuple[int, Any, int]:  # noqa: ARG001
        newest = [row for row in rows if not isinstance(row[2], Outcome)]
        return (0, newest[-1][2], 0) if newest else (0, value, version)

    return [(reads_module, "_over", over)]


def no_floor() -> list[Patch]:
    """D21, D34: a causal read takes what its home has, however old."""
    queue = Client.queue_causal_read
    answer = Session.on_causal_values

    def without(self: Any, session: Any, flight: Any) -> None:
        flight.floor = 0
        queue(self, session, flight)

    def take(self: Any, first: int, *columns: Any, **more: Any) -> None:
        self.least = 0
        if first in self.causal_reads:
            self.causal_reads[first].floor = 0
        answer(self, first, *columns, **more)

    return [(Client, "queue_causal_read", without), (Session, "on_causal_values", take)]


def version_in_result() -> list[Patch]:
    """A cas is judged by the position that an own uncommitted write will have, as far as anybody knows."""
    evaluate = Tail._evaluate

    def foretell(self: Any, session: int, kind: int, key: bytes, expected: object) -> bool | None:
        above = self.writes.get(key)
        if kind == CAS_VERSION and above and all(row[0] == session and not isinstance(row[2], Outcome) for row in above):
            return evaluate_cas(CAS_VERSION, expected, above[-1][2], self.store.get_entry(key)[1] + len(above))
        return evaluate(self, session, kind, key, expected)

    return [(Tail, "_evaluate", foretell)]


def refused_is_final() -> list[Patch]:
    """A refused command is not looked at again when its obstacle is gone: one refusal closes a busy session's fast path."""

    def never(self: Any, *what: Any) -> None:
        """Leave everything as it is."""

    def commit(self: Any, chain: Any, upto: int, promoted: Any) -> None:
        before = chain.accepted
        release(self, chain, upto, promoted)
        if before < upto < chain.held:
            chain.accepted = upto

    release = Witness.release
    return [(Witness, "_retry", never), (Witness, "_wake", never), (Witness, "release", commit)]


def out_of_order_log() -> list[Patch]:
    """D15: the leader logs what comes, whether or not it has what the session sent before."""
    hold, append = Voter._hold, Leader.append

    def hold_anything(self: Any, chain: Any, run: Any, previous: int, leader: Any, again: Any) -> int:
        return hold(self, chain, run, min(previous, chain.held), leader, again)

    def append_anything(self: Any, chain: Any, speculation: Any) -> bool:
        if not append(self, chain, speculation):
            logged = self.logged[chain.session]
            self._append_run(logged, chain, chain.runs[-1], self.node.log.last_index + 1, speculation)
        return True

    return [(Voter, "_hold", hold_anything), (Leader, "append", append_anything)]


def dedup_only_executed() -> list[Patch]:
    """D49: a command that is logged and not yet applied is logged again when it is sent again."""
    hold = Voter._hold

    def log_again(self: Any, chain: Any, run: Any, previous: int, leader: Any, again: Any) -> int:
        if leader is not None and chain.committed < run.first and run.last <= chain.held:
            leader.draft.add(chain.session, run)
            leader.tail._push_all(run, chain.session, self.node.log.last_index + 1)
        return hold(self, chain, run, previous, leader, again)

    return [(Voter, "_hold", log_again)]


def scan_start_key_only() -> list[Patch]:
    """D10: a scan conflicts with writes of its first key only."""
    last_write_in = StrongReads._last_write_in

    def first_key(self: Any, scan: list[object]) -> int:
        return last_write_in(self, scan) if scan[0] in self.leader.tail.writes else 0

    return [(StrongReads, "_last_write_in", first_key)]


def shared_value() -> list[Patch]:
    """D4: one field holds the outcome of all of a session's commands."""
    settle = Session._settle

    def newest(self: Any, run: Any, number: int) -> Any:
        for outcomes in (self.results, self.speculated):
            if number in outcomes:
                outcomes[number] = next(reversed(outcomes.values()))
        return settle(self, run, number)

    return [(Session, "_settle", newest)]


def no_compound_footprint() -> list[Patch]:
    """A witness judges a strong command alone, without the causal writes before it that it pins."""

    def anchor_anyway(self: Any, chain: Any, upto: int) -> bool:
        for number, key in [item for item in chain.loose if item[0] <= upto]:
            token = self.anchored.get(key)
            if token is not None and token >> SESSION_SHIFT != chain.session and number == upto:
                self.waiting.setdefault(key, {})[chain.session] = None
                return False
        for number, key in [item for item in chain.loose if item[0] <= upto]:
            self.anchored[key] = chain.session << SESSION_SHIFT | number
        chain.loose = [item for item in chain.loose if item[0] > upto]
        chain.anchored = max(chain.anchored, upto)
        return True

    return [(Witness, "_anchor_loose", anchor_anyway)]


def read_without_anchor() -> list[Patch]:
    """A strong read completes with confirmations of the view alone."""

    def confirmed(self: Any, session: Any, flight: Any) -> bool:
        last, leader = flight.first + flight.count - 1, self.client.place.get(self.client.leader, -1)
        confirmations: int = sum(read >= last and place != leader for place, read in enumerate(session.confirmed))
        return confirmations >= int(self.majority_others)

    return [(Tallies, "reads_confirmed", confirmed)]


# ----------------------------------------------------------------------------------------------------- found here, and mended since


def scan_version_of_rows() -> list[Patch]:
    """A scan raises the floor to its newest row only, as if it had not seen what is missing."""

    def narrow(store: Any, position: int, queries: Any) -> tuple[list[Any], list[int]]:
        values, versions = query(store, position, queries)
        for place, value in enumerate(values):
            if isinstance(value, list):
                rows: Any = value[0]
                versions[place] = max((row[2] for row in rows), default=0)
        return values, versions

    return [(reads_module, "query", narrow), (voter_module, "query", narrow)]


def cas_tells_nothing() -> list[Patch]:
    """The outcome of a cas does not raise the floor."""
    settle = Session._settle

    def forget(self: Any, run: Any, number: int) -> Any:
        self.seen = 0
        return settle(self, run, number)

    return [(Session, "_settle", forget)]


def lost_outcome() -> list[Patch]:
    """A session forgets a cas that it knows to be committed, whether or not it knows its outcome."""

    def trim(self: Any) -> None:
        while self.log and self.log[0].run.last <= self.committed:
            self.log.popleft()

    return [(Session, "_trim_log", trim)]


def later_own_writes_in_scans() -> list[Patch]:
    """A causal scan shows own writes issued after it."""
    among = OwnWrites._among

    def all_of_them(self: Any, after: int, upto: int) -> Any:  # noqa: ARG001 - the signature is the core's
        return among(self, after, 1 << 60)

    return [(OwnWrites, "_among", all_of_them)]


def unapplied_read() -> list[Patch]:
    """paxos: a strong read does not wait for what is committed and not applied."""
    wait_index = StrongReads._wait_index

    def at_once(self: Any, session: int, dependency: int) -> int:
        wait = wait_index(self, session, dependency)
        return 0 if wait == self.node.commit_index else wait

    return [(StrongReads, "_wait_index", at_once)]


def cas_hides_cas() -> list[Patch]:
    """A second cas on a key makes a session forget that the outcome of the first is not known."""

    def unsure_before(self: Any, number: int) -> bool:
        return any(numbers[-1] <= number for numbers in self.unsure.values())

    return [(OwnWrites, "unsure_before", unsure_before)]


def uncovered_own_writes() -> list[Patch]:
    """An answer from before own writes were applied counts, although nothing is laid over it for them any more."""
    on_applied = Session.on_applied

    def uncovered(self: Any, upto: int, position: int, *, at_home: bool) -> None:
        on_applied(self, upto, position, at_home=at_home)
        self.least = 0

    return [(Session, "on_applied", uncovered)]


def stale_deadline() -> list[Patch]:
    """A follower that has nothing to forward goes on asking for a turn at a moment that is past."""
    forwards = Follower.forwards

    def not_put_off(self: Any, now: float) -> Any:
        before = self.forward_at
        sends = forwards(self, now)
        if not sends and now - self.leader_seen_at > self.node.config.forward_seconds:
            self.forward_at = before
        return sends

    return [(Follower, "forwards", not_put_off)]


BUGS: dict[str, Callable[[], list[Patch]]] = {
    bug.__name__: bug
    for bug in (
        slow_path_by_acks, k_majority, no_overlay, read_dirty, no_floor, version_in_result, refused_is_final, out_of_order_log,
        dedup_only_executed, scan_start_key_only, shared_value, no_compound_footprint, read_without_anchor,
        scan_version_of_rows, cas_tells_nothing, lost_outcome, later_own_writes_in_scans, unapplied_read,
        cas_hides_cas, uncovered_own_writes, stale_deadline,
    )
} | VIEW_BUGS | MEMBER_BUGS | STATE_BUGS | SKEW_BUGS | END_BUGS | STRAITS_BUGS | CHAIN_BUGS | SESSION_BUGS | LOG_BUGS | WORD_BUGS  # fmt: skip

IN_STORMS: dict[str, tuple[int, str, str | None]] = {
    **VIEW_RECORDED, **MEMBER_RECORDED, **STATE_RECORDED, **SKEW_RECORDED, **END_RECORDED, **STRAITS_RECORDED,
    **CHAIN_RECORDED, **SESSION_RECORDED, **LOG_RECORDED, **WORD_RECORDED,
}  # fmt: skip
"""``{bug: (a seed that finds it, what its failure says, the storm it is found in; None: any world)}``."""

RECORDED: dict[str, tuple[int, str]] = {
    "slow_path_by_acks": (1, "I-FAST"),
    "k_majority": (3, "I-FAST"),
    "no_overlay": (1, "a version foretold"),
    "read_dirty": (1, "I-BARRIER"),
    "no_floor": (15, "I-CCV"),
    "version_in_result": (7, "a version foretold"),
    "refused_is_final": (5, "liveness: only"),
    "out_of_order_log": (1, "AssertionError"),
    "dedup_only_executed": (3, "AssertionError: session"),
    "scan_start_key_only": (9, "read your writes"),
    "shared_value": (9, "I-SPEC"),
    "no_compound_footprint": (43, "I-WIT"),
    "read_without_anchor": (7, "I-FAST"),
    "scan_version_of_rows": (2, "was there at"),
    "cas_tells_nothing": (23, "I-CCV"),
    "lost_outcome": (9, "liveness"),
    "later_own_writes_in_scans": (15, "has version"),
    "unapplied_read": (60, "read your writes"),
    "cas_hides_cas": (7, "I-CCV"),
    "uncovered_own_writes": (19, "read your writes"),
    "stale_deadline": (10, "spins"),
} | {bug: (seed, failure) for bug, (seed, failure, _) in IN_STORMS.items()}
"""``{bug: (a seed that finds it, what its failure says)}``; a change of the cores may move it to another seed, which the test then looks for."""


def world_of(name: str) -> str | None:
    """Return the storm in which a bug is looked for, itself planted under its name; None: any world."""
    return IN_STORMS[name][2] if name in IN_STORMS else None


@contextmanager
def plant(name: str) -> Iterator[None]:
    """Plant a bug, or a storm, for a while.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in BUGS and name not in STORMS:
        raise ValueError(f"no storm and no planted bug has the name {name!r}; names are {', '.join([*STORMS, *BUGS])}")
    world = name if name in STORMS else world_of(name)
    patches = [*(STORMS[world]() if world else ()), *(BUGS[name]() if name in BUGS else ())]
    originals = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in patches]
    try:
        for owner, attribute, wrong in patches:
            setattr(owner, attribute, wrong)
        yield
    finally:
        for owner, attribute, right in originals:
            setattr(owner, attribute, right)
