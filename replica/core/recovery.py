"""Taking over: what a new leader must find out and put into the log before it serves.

The log of a majority's best is complete in what was committed (Raft section 5.4).  What completed on the fast path may be in no log: it is
held as accepted by enough witnesses (CURP, NSDI'19, section on recovery).  So the winner of a view asks all voters what their witnesses hold.
Who answers has joined the view, and acknowledges nothing in older ones any more.  With the answers of a majority, the winner's own included:

1.  *What may have completed.*  A session's commands up to the ``recovery_threshold``-th largest anchored level enter the log, session by
    session, in the order of their numbers.  A fast-completed command is accepted by at least so many of those heard, with its whole chain; a
    rival cannot be, since witnesses never accept conflicting chains and any two sets of that size share one.  So recovered chains commute, and
    the order of the sessions does not matter.
2.  *What was acknowledged.*  Causal writes that follow in the chain of anybody heard enter behind all of that: nobody has seen them, and
    nothing that completed is changed by them.

Only then is the view's first own entry made, which everything recovered commits with; before it is applied nothing is speculative ("the gate").

In mode ``ht`` witnesses never see causal writes: their chains have holes there, and what they accept may conflict with such a write of another
session.  Nothing behind one was completed fast (the leader speculates on nothing while it is uncommitted), so step 1 ends at a session's first causal
write, also where the old leader answers and tells it: it stands behind all that may have completed.  And the new leader gives its own chain up
behind a hole: the client sends all of it again.

What must not live here: elections (``election``), what the leader does afterwards (``leader``).  The argument is in docs/protocol.md, "Recovery".
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from replica.core.log import commands_bytes
from replica.core.messages import Collect, WitnessState
from replica.core.quorum import recovery_threshold
from replica.core.tail import CLOSED
from replica.core.witness import CAUSAL, CAUSAL_KINDS, Run

if TYPE_CHECKING:
    from replica.core.leader import Leader
    from replica.core.node import Node
    from replica.core.witness import Witness

LEVEL_BYTES = 32
"""What a session's levels count for in the size of a part: frames have limits of items as well, and sessions may be many."""
PARTS_AHEAD = 2
"""Parts of an answer on their way at a time; the next one is asked for when one comes. All at once may be more than a link's queue takes, and what it
drops would be dropped each time it is asked for."""
COMMAND_BYTES = 8
"""What a command counts for beside its key and value: they may be empty."""


@attrs.define(eq=False)
class Report:
    """What one witness holds."""

    anchored: dict[int, int] = attrs.Factory(dict)
    # {session: anchored up to}
    runs: dict[int, list[Run]] = attrs.Factory(dict)
    # {session: its uncommitted commands, in order}

    def add(self, state: WitnessState) -> None:
        """Take one part."""
        for session, _committed, _accepted, anchored in state.levels:
            self.anchored[session] = anchored
        end = 0
        for session, first, count, incomplete in zip(state.sessions, state.firsts, state.counts, state.incomplete, strict=True):
            start, end = end, end + count
            run = Run(first, first + count - 1, state.kinds[start:end], state.keys[start:end], state.values[start:end], incomplete)
            self.runs.setdefault(session, []).append(run)

    def next_run(self, session: int, number: int) -> Run | None:
        """Return what this witness holds of a session from ``number`` on, as far as one run goes."""
        for run in self.runs.get(session, ()):
            if run.first <= number <= run.last:
                return run.after(number - 1)
        return None


@attrs.define(eq=False)
class Answer:
    """One voter's answer while its parts come."""

    round: int
    asked_at: float
    parts: dict[int, WitnessState] = attrs.Factory(dict)

    def report(self) -> Report | None:
        """Put the parts together, if all are here."""
        if not self.parts or len(self.parts) < next(iter(self.parts.values())).parts:
            return None
        report = Report()
        for number in sorted(self.parts):
            report.add(self.parts[number])
        return report


@attrs.define(eq=False)
class Recovery:
    """A new leader's recovery, from its election until it serves."""

    node: Node
    leader: Leader
    answers: dict[int, Answer] = attrs.Factory(dict)
    # {voter asked: its answer}
    round: int = 0
    again_at: float = 0.0
    """When to look again for who has not answered, seconds."""

    def start(self) -> None:
        """Begin, right after the election."""
        if self.node.config.mode == "ht":
            self._give_up_behind_holes()
        self.ask()

    def ask(self) -> None:
        """Ask every linked voter that has not answered lately; asking again is harmless."""
        node = self.node
        patience = node.config.election_seconds / 2
        self.again_at = node.now + patience / 2
        for peer in node.configuration.voters:
            progress = self.leader.progress.get(peer)
            if progress is None:
                continue  # ourselves
            answer = self.answers.get(peer)
            if progress.linked and (answer is None or (answer.report() is None and node.now - answer.asked_at >= patience)):
                self.round += 1
                self.answers[peer] = Answer(self.round, node.now)
                node.send(peer, Collect(node.configuration.number, node.view, self.round))

    def link_changed(self, peer: int) -> None:
        """Give up an answer of which parts are missing: whoever is at the other end of the next link may be started anew, and its parts be of another
        moment."""
        answer = self.answers.get(peer)
        if answer is not None and answer.report() is None:
            del self.answers[peer]

    def on_state(self, peer: int, state: WitnessState) -> None:
        """Take a part of an answer."""
        answer = self.answers.get(peer)
        if answer is not None and state.round == answer.round:
            answer.parts[state.part] = state
            answer.asked_at = self.node.now
            if len(answer.parts) + PARTS_AHEAD <= state.parts:
                self.node.send(peer, Collect(self.node.configuration.number, self.node.view, answer.round))  # for one more

    def finish(self) -> bool:
        """Recover if a majority is heard.

        Returns:
            Whether recovery is done: the leader serves.
        """
        node = self.node
        reports = [report for answer in self.answers.values() if (report := answer.report()) is not None]
        told = node.configuration
        if len(reports) + node.votes < told.majority:
            return False
        own = own_report(node.witness)
        counted = [own, *reports] if node.votes else reports  # who leads only to commit its own removal is no witness
        reports = [own, *reports]
        sessions = sorted({session for report in reports for session in report.runs})
        threshold = recovery_threshold(len(told.voters), len(counted))
        for session in sessions:
            levels = sorted((report.anchored.get(session, 0) for report in counted), reverse=True)
            self._recover(session, levels[threshold - 1], reports)
        for session in sessions:
            self._add_causal(session, reports)
        self.leader.serve()
        return True

    def _recover(self, session: int, upto: int, reports: list[Report]) -> None:
        """Put a session's commands up to ``upto`` into the log."""
        number = self.leader.logged_number(session)
        while number < upto:
            run = _held_by_anybody(session, number + 1, reports)
            if run is None:
                assert self.node.config.mode == "ht", f"session {session}: command {number + 1} below {upto} is held by none of those heard"
                return
            if self.node.config.mode == "ht" and (strong := _strong_before_causal(run)) < len(run.kinds):
                upto = min(upto, number + strong)  # witnesses know nothing of what follows
                if upto == number:
                    return
            self.leader.recover(session, run.upto(upto))
            number = self.leader.logged_number(session)

    def _add_causal(self, session: int, reports: list[Report]) -> None:
        """Put the causal writes that follow into the log."""
        number = self.leader.logged_number(session)
        while number < CLOSED and (run := _held_by_anybody(session, number + 1, reports)) is not None:
            causal = len(run.kinds) - len(run.kinds.lstrip(CAUSAL_KINDS))
            if causal:
                self.leader.recover(session, run.upto(number + causal))
                number += causal
            if causal < len(run.kinds):
                return

    def _give_up_behind_holes(self) -> None:
        """Before anything is acknowledged as a leader: what this replica says it holds is taken for the causal writes too from now on."""
        node = self.node
        for chain in [chain for chain in node.witness.chains.values() if chain.runs]:
            number, kept = max(self.leader.logged_number(chain.session), chain.committed), chain.committed
            for run in chain.runs:
                if run.first > number + 1:
                    node.witness.forget_after(chain, kept, node.promoted)
                    node.journal.on_forgotten(chain.session, kept)
                    node.withdraw_verdicts()
                    break
                number, kept = max(number, run.last), run.last  # what the log holds is no hole, however far back this run ends


@attrs.define(eq=False)
class Telling:
    """A witness' side: what it has yet to tell a new leader, as it was when that asked first."""

    node: Node
    leader: int = -1
    round: int = 0
    rest: deque[WitnessState] = attrs.Factory(deque)

    def on_collect(self, source: int, collect: Collect) -> None:
        """Answer with the first parts, or with the next one if this has been asked before."""
        count = 1
        if (source, collect.round) != (self.leader, self.round):
            self.leader, self.round, self.rest, count = source, collect.round, deque(witness_states(self.node, collect)), PARTS_AHEAD
        for _ in range(min(count, len(self.rest))):
            self.node.send(source, self.rest.popleft())

    def end(self) -> None:
        """Another view begins, or its leader serves: it needs no more."""
        self.leader = -1
        self.rest.clear()


def own_report(witness: Witness) -> Report:
    """Tell what the new leader's own witness holds."""
    report = Report()
    for session, chain in witness.chains.items():
        if chain.runs:
            report.anchored[session] = chain.anchored
            report.runs[session] = list(chain.runs)
    return report


def witness_states(node: Node, collect: Collect) -> list[WitnessState]:
    """Tell a new leader what this witness holds, in parts of about ``collect_bytes_max``, all of this moment."""
    chains = [chain for chain in node.witness.chains.values() if chain.runs]
    states = [_empty(node, collect)]
    kinds: list[list[bytes]] = [[]]
    size = 0
    for chain in chains:
        states[-1].levels.append([chain.session, chain.committed, chain.accepted, chain.anchored])
        size += LEVEL_BYTES
        for run in chain.runs:
            if size >= node.config.collect_bytes_max:
                states.append(_empty(node, collect))
                kinds.append([])
                size = 0
            state = states[-1]
            state.sessions.append(chain.session)
            state.firsts.append(run.first)
            state.counts.append(len(run.keys))
            state.incomplete.append(run.incomplete)
            kinds[-1].append(run.kinds)
            state.keys.extend(run.keys)
            state.values.extend(run.values)
            size += commands_bytes(run.keys, run.values) + COMMAND_BYTES * len(run.keys)
    return [
        attrs.evolve(state, part=part, parts=len(states), kinds=b"".join(some)) for part, (state, some) in enumerate(zip(states, kinds, strict=True))
    ]


def _empty(node: Node, collect: Collect) -> WitnessState:
    return WitnessState(node.configuration.number, node.view, collect.round, 0, 1, [], [], [], [], b"", [], [], [])


def _strong_before_causal(run: Run) -> int:
    """Return with how many strong commands a run begins."""
    return next((place for place, kind in enumerate(run.kinds) if kind >= CAUSAL), len(run.kinds))


def _held_by_anybody(session: int, number: int, reports: list[Report]) -> Run | None:
    return next((run for report in reports if (run := report.next_run(session, number)) is not None), None)
