"""What must hold at every moment, looked at after every turn and every completion. Names in capitals are explained in docs/planted.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core import messages as m
from replica.core.configuration import Configuration, configuration_of
from replica.core.journal import Voted
from replica.core.witness import SESSION_SHIFT
from statemachine.command import CAS_VERSION
from tests.sim.bounds import check_client, check_replica
from tests.sim.history import Operation, Track, Violation
from tests.sim.leading import Leading
from tests.sim.majority import check_committed
from tests.sim.registry import Registry
from tests.sim.words import Words

if TYPE_CHECKING:
    from replica.core.client import Client
    from replica.core.effects import Effects
    from replica.core.journal import JournalRecord
    from replica.core.messages import Entry, Message
    from replica.core.witness import Chain
    from tests.sim.actors import ReplicaActor
    from tests.sim.world import World

DEEP_EVERY = 64
"""Turns between two deep looks."""

Tagged = (m.RecordAck, m.SpecReply, m.Applied, m.StrongReadReply, m.AnchorAck)


@attrs.define(eq=False)
class Seen:
    """One replica's progress as last seen in its present life."""

    compared: dict[int, int] = attrs.Factory(dict)
    # {index of an entry in its log: the view it was last seen with}
    commit: int = 0
    applied: int = 0


@attrs.define(eq=False)
class CausalAnswer:
    """A causal read's answer as a replica sent it: judged when the log is known."""

    replica: str
    track: Track
    first: int
    position: int
    applied: int
    values: list[object]
    versions: list[int]


@attrs.define(eq=False)
class Observer:
    """Looks at a world."""

    world: World
    log: list[Entry] = attrs.Factory(list)
    """Every entry that some replica committed: the certificate."""
    committed_in: list[int] = attrs.Factory(list)
    """The view in which each was first seen committed."""
    entries: dict[tuple[int, int], tuple[Entry, int]] = attrs.Factory(dict)
    # {(index, view): the one entry of that name, and the view of the entry before it}
    had: dict[tuple[int, int], set[int]] = attrs.Factory(dict)
    # {(index, view): replicas that ever had it}
    registry: Registry = attrs.field(init=False)
    words: Words = attrs.field(init=False)
    leading: Leading = attrs.Factory(Leading)
    places: dict[tuple[int, int], tuple[int, int]] = attrs.Factory(dict)
    # {(track, number): (index, position) of a committed command}
    outcomes: dict[tuple[int, int], bool] = attrs.Factory(dict)
    # {(track, number): what some replica said of an applied cas, I-ONE}
    speculated: dict[tuple[int, int, int], bool] = attrs.Factory(dict)
    # {(track, number, view): what its leader speculated of a cas, I-SPEC}
    views: dict[int, int] = attrs.Factory(dict)
    # {replica: the highest view it was ever in}
    leaders: dict[int, int] = attrs.Factory(dict)
    # {view: who led it}
    led_since: float = 0.0
    """When the latest view's leader was first seen, seconds."""
    configurations: dict[tuple[int, int], Configuration] = attrs.Factory(dict)
    # {(view, number): who belonged to the cluster, by that view's leader}
    votes: dict[tuple[int, int], int] = attrs.Factory(dict)
    # {(replica, view): whom its disk says it voted for}
    causal_answers: list[CausalAnswer] = attrs.Factory(list)
    seen: dict[int, Seen] = attrs.Factory(dict)
    turns: int = 0
    conflicts: int = 0
    """Strong commands that some witness refused at first."""

    def __attrs_post_init__(self) -> None:
        self.registry = Registry(self.world.history)
        self.words = Words(self)

    # ---------------------------------------------------------------------------------------------------------------- after a turn

    def on_turn(self, actor: ReplicaActor, effects: Effects) -> None:
        """Look at a replica and at what leaves it."""
        core = actor.core
        core.check_invariants()
        self._capture(actor)
        self.words.on_turn(actor, effects)
        self.leading.on_turn(actor)
        for _, sections in effects.replies:
            for section in sections:
                self._on_reply(actor, section)
        self.turns += 1
        if self.turns % DEEP_EVERY == 0:
            self.deep_one(actor)

    def on_entries(self, actor: ReplicaActor) -> None:
        """Look at a replica's log: who decides alone may forget an entry in the turn that made it."""
        self._compare(actor, self.seen.setdefault(actor.id, Seen()))

    def on_restart(self, actor: ReplicaActor) -> None:
        """A replica comes back: what it had applied and knew of commits may go back, its view may not."""
        self.seen.pop(actor.id, None)

    def on_synced(self, actor: ReplicaActor, records: list[JournalRecord]) -> None:
        """I-VOTE: at most one vote for each replica and view."""
        for record in records:
            if isinstance(record, Voted) and record.voted_for >= 0:
                key = (actor.id, record.view)
                if self.votes.setdefault(key, record.voted_for) != record.voted_for:
                    raise Violation(f"I-VOTE: {actor.name} voted for {self.votes[key]} and {record.voted_for} in view {record.view}")

    def _capture(self, actor: ReplicaActor) -> None:
        """I-VIEW, I-MATCH, I-ORDER, I-COMP, I-SESS over what is new in a replica's log."""
        node = actor.core.node
        seen = self.seen.setdefault(actor.id, Seen())
        if node.commit_index < seen.commit or node.applied_index < seen.applied or node.view < self.views.get(actor.id, 0):
            raise Violation(f"I-VIEW: {actor.name} went back: {node.view} {node.commit_index} {node.applied_index} after {seen}")
        if node.journal.view_safe:
            self.views[actor.id] = node.view
        if actor.core.leader is not None and node.journal.view_safe:  # before that nobody hears of it
            self._lead(actor)
        self._compare(actor, seen)
        if node.commit_index > len(self.log):
            check_committed(self.world, actor)
        for index in range(seen.commit + 1, node.commit_index + 1):
            if index > len(self.log):
                self.committed_in.append(node.view)
                self._append(self.entries[index, seen.compared[index]][0])
            elif node.log.view_at(index) not in {None, self.log[index - 1].view}:
                raise Violation(f"I-MATCH: {actor.name} committed another entry {index}: {node.log.get(index)}")
        seen.commit, seen.applied = node.commit_index, node.applied_index
        if actor.core.leader is not None and actor.core.leader.serving:
            self._complete(actor)

    def _lead(self, actor: ReplicaActor) -> None:
        """I-VIEW: one leader of a view; I-CFG: one configuration of a number in it, and one change at a time."""
        node = actor.core.node
        if node.view not in self.leaders:
            self.world.tell(actor.name, f"leads view {node.view}")
            self.led_since = self.world.now
        if self.leaders.setdefault(node.view, actor.id) != actor.id:
            raise Violation(f"I-VIEW: {self.leaders[node.view]} and {actor.id} lead view {node.view}")
        told = node.configuration
        if self.configurations.setdefault((node.view, told.number), told) != told:
            raise Violation(f"I-CFG: two configurations {told.number} in view {node.view}: {told}")
        if actor.core.recovery is None and sum(index > node.commit_index for index, _ in node.configurations.told) > 1:
            raise Violation(f"I-CFG: {actor.name} has two changes under way")

    def _compare(self, actor: ReplicaActor, seen: Seen) -> None:
        """I-MATCH: one (index, view), one entry, and one entry before it."""
        log = actor.core.node.log
        for index in range(log.last_index, log.first_index - 1, -1):
            entry = log.get(index)
            if seen.compared.get(index) == entry.view:
                break
            seen.compared[index] = entry.view
            self.had.setdefault((index, entry.view), set()).add(actor.id)
            self.leading.on_entry(actor, entry)
            before = log.view_at(index - 1) or 0
            known = self.entries.setdefault((index, entry.view), (entry, before))
            if known != (entry, before):
                raise Violation(f"I-MATCH: {actor.name} has another entry {index}: {entry} after {before} instead of {known}")

    def _complete(self, actor: ReplicaActor) -> None:
        """I-COMP: who leads has everything that was committed in older views."""
        log, view, commit = actor.core.node.log, actor.core.node.view, actor.core.node.commit_index
        for entry, committed_in in zip(self.log[commit:], self.committed_in[commit:], strict=True):
            if committed_in < view and log.view_at(entry.index) != entry.view:
                raise Violation(f"I-COMP: {actor.name} leads view {view} without the committed entry {entry.index}")

    def _append(self, entry: Entry) -> None:
        self.log.append(entry)
        self.registry.on_entry(entry, self.places)
        position = entry.base + len(entry.system)
        for sid, first, count in zip(entry.sessions, entry.firsts, entry.counts, strict=True):
            track = self.registry.tracks[sid]
            for number in range(first, first + count):
                position += 1
                if number > 1 and (track.index, number - 1) not in self.places:
                    raise Violation(f"I-SESS: the log has #{number} of session {track.index} without the one before")
                if (track.index, number) in self.places:
                    raise Violation(f"I-SESS: the log has #{number} of session {track.index} twice")
                self.places[track.index, number] = (entry.index, position)

    # ----------------------------------------------------------------------------------------------------------- what leaves

    def _on_reply(self, actor: ReplicaActor, section: Message) -> None:
        node = actor.core.node
        if isinstance(section, Tagged) and section.view != node.view:
            raise Violation(f"I-ACK: {actor.name} says {section} in view {node.view}")
        match section:
            case m.RecordAck():
                for sid, held, accepted in zip(section.sessions, section.held, section.accepted, strict=True):
                    chain = node.witness.chains.get(sid)
                    self.conflicts += accepted < held
                    if chain is None and sid not in self.registry.ended:
                        raise Violation(f"I-ACK: {actor.name} acknowledges what it has no chain for: {section}")
                    if chain is not None and (held > chain.held or accepted > chain.accepted):
                        raise Violation(f"I-ACK: {actor.name} acknowledges more than it holds: {section} {chain}")
            case m.SpecReply():
                self._on_spec(actor, section)
            case m.Applied():
                for sid, number, succeeded in section.results:
                    self._outcome(sid, number, succeeded=bool(succeeded))
            case m.StrongReadReply():
                self._barrier(actor, section.sessions, section.counts, section.values, section.versions)
            case m.CausalReadReply():
                self._barrier(actor, section.sessions, section.counts, section.values, section.versions)
                self._keep_causal(actor, section)
            case _:
                pass

    def _on_spec(self, actor: ReplicaActor, section: m.SpecReply) -> None:
        runs = zip(section.sessions, section.firsts, section.counts, strict=True)
        flat = [(sid, number) for sid, first, count in runs for number in range(first, first + count)]
        for place, succeeded in section.results:
            sid, number = flat[place]
            key = (self.registry.tracks[sid].index, number, section.view)
            if self.speculated.setdefault(key, bool(succeeded)) != bool(succeeded):
                raise Violation(f"I-ONE: #{number} of session {key[0]} was speculated to succeed and not to")
            self._no_foretold_version(actor, sid, number)

    def _no_foretold_version(self, actor: ReplicaActor, sid: int, number: int) -> None:
        """Positions of uncommitted writes are not facts: no outcome may rest on one, an own one included."""
        operation = self.registry.tracks[sid].logged[number - 1]
        if operation.kind != CAS_VERSION:
            return
        node = actor.core.node
        below = False
        for index in range(node.commit_index + 1, node.log.last_index + 1):
            entry = node.log.get(index)
            place = 0
            for session, first, count in zip(entry.sessions, entry.firsts, entry.counts, strict=True):
                here = session == sid and first <= number < first + count
                upto = place + (number - first if here else count)
                below = below or operation.key in entry.keys[place:upto]
                if here and below:
                    raise Violation(f"a version foretold: {actor.name} speculated {operation} over an uncommitted write")
                place += count

    def _outcome(self, sid: int, number: int, *, succeeded: bool) -> None:
        """I-ONE: one outcome of an applied command, whoever tells it and when; the certificate compares it with the log's."""
        key = (self.registry.tracks[sid].index, number)
        if self.outcomes.setdefault(key, succeeded) != succeeded:
            raise Violation(f"I-ONE: #{number} of session {key[0]} was told to succeed and not to")

    def _barrier(self, actor: ReplicaActor, sids: list[int], counts: list[int], values: list[m.Value], versions: list[int]) -> None:
        """I-BARRIER: nobody is shown another session's uncommitted value, nor the version of an own one."""
        end = 0
        for sid, count in zip(sids, counts, strict=True):
            start, end = end, end + count
            for value, told in zip(values[start:end], versions[start:end], strict=True):
                for shown, version in _values_of(value, told):
                    writer = self.world.history.writers.get(shown)
                    if writer is None:
                        raise Violation(f"{actor.name} shows {shown!r}, which nobody wrote")
                    place = self.places.get((writer.session, writer.number))
                    uncommitted = place is None or place[0] > actor.core.node.commit_index
                    if uncommitted and (version or writer.session != self.registry.tracks[sid].index):
                        raise Violation(f"I-BARRIER: {actor.name} shows session {self.registry.tracks[sid].index} an uncommitted value of {writer}")

    def _keep_causal(self, actor: ReplicaActor, section: m.CausalReadReply) -> None:
        end = 0
        for sid, first, count, applied in zip(section.sessions, section.firsts, section.counts, section.applied, strict=True):
            start, end = end, end + count
            values: list[object] = list(section.values[start:end])
            track, versions = self.registry.tracks[sid], section.versions[start:end]
            self.causal_answers.append(CausalAnswer(actor.name, track, first, section.position, applied, values, versions))

    # ------------------------------------------------------------------------------------------------------------- what completes

    def on_flushed(self, track: Track, number: int) -> None:
        """A client was told that its commands up to ``number`` are committed."""
        if number and (track.index, number) not in self.places:
            raise Violation(f"#{number} of session {track.index} is flushed and not committed")

    def on_completed(self, operations: list[Operation], client: Client) -> None:
        """I-FAST and its likes: what completed rests on enough voters of the configuration that the client counts by."""
        last = operations[-1]
        voters = client.members.voters
        if last.number and last.strong and last.fast:
            told = self.configurations.get((client.view, client.members.configuration))
            if told is None or set(told.voters) != set(voters):
                raise Violation(f"I-CFG: the leader of view {client.view} counts by {told}, and a client by {voters}: {last}")
            self.words.check_fast(last, client)
        elif last.number and not last.strong:
            held = any(chain is not None and chain.held >= last.number for chain in (self.chain(actor, last) for actor in self.world.replicas))
            if not held and not self.registry.lost(last) and not self.committed(last):
                raise Violation(f"acknowledged and held nowhere: {last}")
        elif last.number == 0 and last.strong:
            self.words.check_read(last, client)
        elif last.number and last.strong and not self.committed(last):
            raise Violation(f"completed slowly and not committed: {last}")

    def committed(self, operation: Operation) -> bool:
        """Whether a command, or what a read follows, is in the committed log."""
        return (operation.session, operation.number or operation.dependency) in self.places

    def _forgotten(self, operation: Operation) -> bool:
        """Whether replicas without disks died, and no replica holds a command: with its client it is lost (docs/protocol.md, section 9)."""
        chains = [chain for actor in self.world.replicas if (chain := self.chain(actor, operation)) is not None]
        held = any(run.first <= operation.number <= run.last for chain in chains for run in chain.runs)
        return not (held or self.world.options.core.durable) and any(actor.lives > 1 for actor in self.world.replicas)

    def chain(self, actor: ReplicaActor, operation: Operation) -> Chain | None:
        """Return what a replica holds of an operation's session."""
        return actor.core.node.witness.chains.get(self.world.history.tracks[operation.session].sid)

    # ------------------------------------------------------------------------------------------------------------------ deep looks

    def deep(self) -> None:
        """Look closely at every live replica."""
        for actor in self.world.replicas:
            if actor.alive:
                self.deep_one(actor)

    def deep_one(self, actor: ReplicaActor) -> None:
        """I-WIT by brute force, I-GC of the replica and of all clients."""
        node = actor.core.node
        witness = node.witness
        witness.check_invariants()
        owners: dict[bytes, int] = {}
        for sid, chain in witness.chains.items():
            for run in chain.runs:
                for number, key in enumerate(run.keys, run.first):
                    if number <= chain.anchored and owners.setdefault(key, sid) != sid:
                        raise Violation(f"I-WIT: {actor.name} anchored {key!r} for sessions {owners[key]} and {sid}")
        if {key: token >> SESSION_SHIFT for key, token in witness.anchored.items()} != owners:
            raise Violation(f"I-WIT: {actor.name} remembers {witness.anchored} where its chains anchor {owners}")
        check_replica(actor)
        for client in self.world.clients:
            if client.alive:
                check_client(client)

    def what_is_left(self) -> str:
        """Say what keeps the world from being quiet; empty when it is."""
        world = self.world
        for client in world.clients:
            for program in client.programs if client.alive else ():
                session = program.session
                if program.absent:
                    continue
                if not program.done or session is None or not session.idle or session.in_flight or session.flushes:
                    waiting = [str(operation) for operation in program.track.waiting][:3]
                    left = f"{program.left} + {program.encore} left to submit"
                    return f"session {program.track.index} ({session and session.in_flight} in flight, {left}) waits for {waiting}"
        told = configuration_at_end(self.log) or Configuration(1, world.options.voters)
        if told.learners:
            return f"replicas {told.learners} do not vote yet"
        if world.options.partings and (left := self.registry.what_is_left()):
            return left
        if left := self.registry.unaware(program for client in world.clients if client.alive for program in client.programs):
            return left
        alive = [actor.core.node for actor in world.replicas if actor.alive and actor.id in told.members]
        orphans = any(track.dead and not self.registry.has_ended(track) for track in world.history.tracks)
        if orphans and len(alive) == len(told.members) and (lost := self.registry.orphan(self.places, self._forgotten)):
            return f"a dead client's acknowledged write is not in the log: {lost}"
        if sum(node.leader == node.config.id for node in alive) != 1:
            return f"nobody leads, or several do: {[(node.config.id, node.view, node.leader) for node in alive]}"
        for node in alive:
            if node.log.last_index > len(self.log):
                return f"replica {node.config.id} has {node.log.last_index} entries, of which {len(self.log)} are committed"
            if node.applied_index < len(self.log) or node.notes or (node.witness.commands and not orphans):
                return f"replica {node.config.id} applied {node.applied_index} of {len(self.log)} entries and holds {node.witness.commands} commands"
        return ""


def configuration_at_end(log: list[Entry]) -> Configuration | None:
    """Return the last configuration in a log."""
    return next((told for entry in reversed(log) if entry.system and (told := configuration_of(entry)) is not None), None)


def _values_of(value: m.Value, version: int) -> list[tuple[bytes, int]]:
    """Return the values that a reply's item shows, with their versions."""
    if isinstance(value, list):
        rows = value[0]
        assert isinstance(rows, list)
        return [(row[1], row[2]) for row in rows]
    return [] if value is None else [(value, version)]
