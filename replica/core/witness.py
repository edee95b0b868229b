"""The witness: holds commands that are not committed yet, session by session, and accepts those that conflict with nobody else's.

A session's logged commands carry consecutive numbers and form a *chain*.  The witness accepts a strong command only when it holds the whole
uncommitted chain before it, and it checks the command together with the session's causal writes that no strong command has pinned yet, as
one *compound footprint*; accepting pins (*anchors*) them all.  Hence two accepted commands of different sessions never conflict, whatever
order they came in, and a new leader can replay accepted chains in any order that respects each session.  This is CURP's witness (Park &
Ousterhout, NSDI'19, section 3.2) made session-wise; docs/protocol.md has the argument.

Every logged command writes exactly one key (put, delete, cas) and reads are not logged, so a conflict is an equal key of another session: the
index ``anchored`` maps a key to the token of the last anchored command on it.  The general rule is ``statemachine.command.conflicts``; a test
holds the two together.

What must not live here: the log, the leader's speculation, quorums.  Rejected: one entry per key and command (a dict insert for each command
on each replica, twice); lists of dependencies in acks (two numbers say the same).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from replica.core.messages import Value

CAUSAL = 0x80
CAUSAL_KINDS = bytes(range(CAUSAL, CAUSAL + 4))
SESSION_SHIFT = 64
"""A token is ``session << 64 | number``: who anchored a key, and with which command. A session may have more than 2**32 commands: in fewer bits
than a number has on the wire they would run into the id of the session opened next, and either be taken for the other."""


def value_bytes(values: list[Value]) -> int:
    """Return the bytes of the values of some commands."""
    return sum([len(value) if value.__class__ is bytes else len(value[1]) for value in values if value is not None])  # type: ignore[arg-type,misc]


@attrs.define(eq=False)
class Run:
    """Consecutive commands of one session, as columns; shared, never changed."""

    first: int
    last: int
    kinds: bytes
    keys: list[bytes]
    values: list[Value]
    incomplete: int

    def after(self, number: int) -> Run:
        """Return the part of the run above ``number``."""
        cut = number + 1 - self.first
        return self if cut <= 0 else Run(number + 1, self.last, self.kinds[cut:], self.keys[cut:], self.values[cut:], self.incomplete)

    def upto(self, number: int) -> Run:
        """Return the part of the run up to ``number``."""
        keep = number + 1 - self.first
        return self if self.last <= number else Run(self.first, number, self.kinds[:keep], self.keys[:keep], self.values[:keep], self.incomplete)


@attrs.define(eq=False)
class Chain:
    """One session at one witness. Invariant: ``committed <= anchored <= accepted <= held`` (each at least ``committed``)."""

    session: int
    committed: int = 0
    """Last command applied here: in every future log."""
    held: int = 0
    """Last command of the unbroken chain held here (verdict HELD)."""
    accepted: int = 0
    """Every strong command up to here is accepted (verdict OK); short of ``held`` when a strong command was refused."""
    anchored: int = 0
    """Every command up to here is pinned by an accepted strong command or an anchor."""
    runs: deque[Run] = attrs.Factory(deque)
    loose: list[tuple[int, bytes]] = attrs.Factory(list)
    """Accepted causal writes above ``anchored``: (number, key)."""
    held_since: float = 0.0
    """When the oldest uncommitted command came or the last one was applied, whichever is later, seconds."""
    heard_at: float = 0.0
    """When a client last spoke for the session, seconds."""
    link: object = None
    """The client's link that last spoke for the session."""
    home: bool = False
    """This replica is the session's home."""

    def raise_to(self, number: int) -> None:
        """Everything up to ``number`` is applied: no level is below it."""
        self.committed, self.held = max(self.committed, number), max(self.held, number)
        self.accepted, self.anchored = max(self.accepted, number), max(self.anchored, number)


@attrs.define(eq=False)
class Witness:
    """All chains of one replica, bounded: at ``commands_max`` a new command is refused, never an old one forgotten."""

    commands_max: int
    bytes_max: int = 256 << 20
    chains: dict[int, Chain] = attrs.Factory(dict)
    anchored: dict[bytes, int] = attrs.Factory(dict)
    # {key: token of the last anchored uncommitted command on it}
    waiting: dict[bytes, dict[int, None]] = attrs.Factory(dict)
    # {key: sessions whose next command was refused because of it}
    commands: int = 0
    value_bytes: int = 0

    def hold(self, chain: Chain, run: Run, now: float) -> None:
        """Take a run that continues the chain (``run.first == held + 1``, or its predecessor is held), and accept what can be accepted."""
        if not chain.runs:
            chain.held_since = now
        chain.runs.append(run)
        self.commands += len(run.keys)
        self.value_bytes += value_bytes(run.values)
        unbroken = chain.accepted == chain.held
        chain.held = run.last
        if unbroken:
            self._accept(chain, run)

    def full(self, count: int) -> bool:
        """Tell whether ``count`` more commands would pass the limit, or the values held have reached theirs; an empty witness takes anything."""
        return self.commands > 0 and (self.commands + count > self.commands_max or self.value_bytes >= self.bytes_max)

    def _accept(self, chain: Chain, run: Run) -> None:
        """Accept a whole run at C speed when none of its footprint is anchored by anybody; otherwise command by command."""
        anchored = self.anchored
        keys = run.keys
        strong = len(run.kinds.rstrip(CAUSAL_KINDS))  # up to and with the last strong command
        if len(keys) == 1 and not (strong and chain.loose):  # every other run: half the time
            if not strong:
                chain.loose.append((run.first, keys[0]))
            elif keys[0] in anchored:
                self._accept_each(chain, run)
                return
            else:
                anchored[keys[0]] = chain.session << SESSION_SHIFT | run.first
                chain.anchored = run.first
            chain.accepted = run.last
            return
        if strong:
            footprint = keys if strong == len(keys) else keys[:strong]
            taken = anchored.keys()
            if not taken.isdisjoint(footprint) or (chain.loose and not taken.isdisjoint([key for _, key in chain.loose])):
                self._accept_each(chain, run)
                return
            base = chain.session << SESSION_SHIFT
            for number, key in chain.loose:
                anchored[key] = base | number
            chain.loose.clear()
            token = base | run.first
            anchored.update(zip(footprint, range(token, token + strong), strict=True))
            chain.anchored = run.first + strong - 1
        if strong < len(keys):
            chain.loose.extend(zip(range(run.first + strong, run.last + 1), keys[strong:], strict=True))
        chain.accepted = run.last

    def _accept_each(self, chain: Chain, run: Run) -> None:
        """Accept the run's commands above ``chain.accepted`` in order until one is refused."""
        skip = chain.accepted + 1 - run.first
        for number, kind, key in zip(range(run.first + max(skip, 0), run.last + 1), run.kinds[max(skip, 0) :], run.keys[max(skip, 0) :], strict=True):
            chain.loose.append((number, key))
            if not kind & CAUSAL and not self._anchor_loose(chain, number):
                chain.loose.pop()  # refused: held, but never counted
                return
            chain.accepted = number

    def _anchor_loose(self, chain: Chain, upto: int) -> bool:
        """Anchor the loose commands up to ``upto`` as one unit, or none of them."""
        anchored, session = self.anchored, chain.session
        for number, key in chain.loose:
            if number > upto:
                break
            token = anchored.get(key)
            if token is not None and token >> SESSION_SHIFT != session:
                self.waiting.setdefault(key, {})[session] = None
                return False
        base = session << SESSION_SHIFT
        rest = []
        for number, key in chain.loose:
            if number <= upto:
                anchored[key] = base | number
            else:
                rest.append((number, key))
        chain.loose = rest
        chain.anchored = max(chain.anchored, upto)
        return True

    def anchor(self, chain: Chain, dependency: int) -> int:
        """Pin the chain up to ``dependency`` for a strong read; return the level reached (less than asked after a gap, refusal or conflict)."""
        if chain.anchored < dependency <= chain.accepted:
            self._anchor_loose(chain, dependency)
        return max(chain.anchored, chain.committed)

    def release(self, chain: Chain, upto: int, promoted: dict[int, Chain]) -> None:
        """Forget the commands up to ``upto``, which are applied; retry who waited for them and put whose verdict changed into ``promoted``."""
        anchored, waiting, runs = self.anchored, self.waiting, chain.runs
        while runs and runs[0].first <= upto:
            run = runs[0]
            done = run if run.last <= upto else None
            keys = run.keys if done else run.keys[: upto + 1 - run.first]
            self.commands -= len(keys)
            self.value_bytes -= value_bytes(run.values if done else run.values[: len(keys)])
            for token, key in enumerate(keys, chain.session << SESSION_SHIFT | run.first):
                if anchored.get(key) == token:
                    del anchored[key]
            if waiting:
                self._wake(keys, promoted)
            if done:
                runs.popleft()
            else:
                runs[0] = run.after(upto)
                break
        chain.committed = upto
        lighter = chain.loose and chain.loose[0][0] <= upto  # a refused command's compound footprint may have shrunk
        if lighter:
            chain.loose = [item for item in chain.loose if item[0] > upto]
        chain.anchored = max(chain.anchored, upto)
        chain.held = max(chain.held, upto)
        if chain.accepted < upto:
            chain.accepted = upto
            self._retry(chain, promoted)
        elif lighter and chain.accepted < chain.held:
            self._retry(chain, promoted)

    def _wake(self, keys: list[bytes], promoted: dict[int, Chain]) -> None:
        """Retry the chains that were refused because of keys that nobody anchors any more (REFUSED is not final)."""
        for key in keys:
            if key in self.waiting and key not in self.anchored:
                for session in self.waiting.pop(key):
                    chain = self.chains.get(session)
                    if chain is not None:
                        self._retry(chain, promoted)

    def _retry(self, chain: Chain, promoted: dict[int, Chain]) -> None:
        """Run the witness step again for what the chain holds beyond its accepted part."""
        before = chain.accepted
        for run in chain.runs:
            if run.last > chain.accepted:
                self._accept_each(chain, run)
                if chain.accepted < run.last:
                    break
        if chain.accepted > before:
            promoted[chain.session] = chain

    def open(self, session: int) -> Chain:
        """Begin the chain of a session whose opening was applied."""
        chain = self.chains[session] = Chain(session)
        return chain

    def restore(self, chain: Chain, runs: list[Run], accepted: int, anchored: int, done: int) -> None:
        """Give a fresh chain what the disk says it held; commands up to ``done`` are committed, and freed when they are applied."""
        chain.runs.extend(kept for run in runs if (kept := run.after(done)).keys)
        chain.held = max(done, chain.runs[-1].last if chain.runs else 0)
        chain.anchored, chain.accepted = max(done, min(anchored, chain.held)), max(done, min(accepted, chain.held))
        base = chain.session << SESSION_SHIFT
        for run in chain.runs:
            self.commands += len(run.keys)
            self.value_bytes += value_bytes(run.values)
            for number, key in enumerate(run.keys, run.first):
                if number <= chain.anchored:
                    self.anchored[key] = base | number
                elif number <= chain.accepted:
                    chain.loose.append((number, key))

    def forget_after(self, chain: Chain, number: int, promoted: dict[int, Chain]) -> None:
        """Give a chain up above ``number`` (at least ``committed``); as ``release`` for those who waited for it."""
        base = chain.session << SESSION_SHIFT
        freed = [key for run in chain.runs for key in run.keys]
        for run in chain.runs:
            for key in run.keys:
                if self.anchored.get(key, 0) >> SESSION_SHIFT == chain.session:
                    del self.anchored[key]
            gone = run.after(number) if run.last > number else None
            if gone is not None:
                self.commands -= len(gone.keys)
                self.value_bytes -= value_bytes(gone.values)
        chain.runs = deque(run.upto(number) for run in chain.runs if run.first <= number)
        chain.loose = [item for item in chain.loose if item[0] <= number]
        chain.held, chain.accepted, chain.anchored = number, min(chain.accepted, number), min(chain.anchored, number)
        for run in chain.runs:
            for place, key in enumerate(run.keys, run.first):
                if place <= chain.anchored:
                    self.anchored[key] = base | place
        self._wake(freed, promoted)

    def retry_all(self, promoted: dict[int, Chain]) -> None:
        """Judge again everything that is held and not accepted; needed once all chains are restored."""
        for chain in self.chains.values():
            if chain.accepted < chain.held:
                self._retry(chain, promoted)

    def close(self, session: int, promoted: dict[int, Chain]) -> None:
        """Drop a session that ended in the log, with all it held."""
        chain = self.chains.pop(session, None)
        if chain is not None and chain.held > chain.committed:
            self.release(chain, chain.held, promoted)
            promoted.pop(session, None)

    def check_invariants(self) -> None:
        """Assert what the recovery argument rests on (expensive: simulator and tests).

        Raises:
            AssertionError: our own bug.
        """
        held = 0
        for chain in self.chains.values():
            assert chain.committed <= chain.anchored <= chain.accepted <= chain.held, chain
            held += sum(len(run.keys) for run in chain.runs)
            numbers = [number for number, _ in chain.loose]
            assert numbers == sorted(numbers), chain
            assert all(chain.anchored < number <= chain.accepted for number in numbers), chain
        assert held == self.commands, (held, self.commands)
        assert self.value_bytes == sum(value_bytes(run.values) for chain in self.chains.values() for run in chain.runs)
        for key, token in self.anchored.items():
            chain = self.chains[token >> SESSION_SHIFT]
            number = token & ((1 << SESSION_SHIFT) - 1)
            assert chain.committed < number <= chain.anchored, (key, chain)
