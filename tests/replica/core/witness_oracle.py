"""The witness' step by brute force: every held command, its footprint, and every pair looked at; slow and plain.

The general conflict rule (``statemachine.command.conflicts``) and compound footprints, as docs/protocol.md words them, instead of the
witness' index of keys.
"""

from __future__ import annotations

from functools import reduce
from itertools import combinations
from operator import or_

import attrs

from statemachine.command import CAUSAL, Footprint, conflicts, footprint_of


@attrs.define
class Held:
    """One session's uncommitted commands."""

    committed: int = 0
    commands: dict[int, tuple[int, bytes]] = attrs.Factory(dict)
    # {number: (kind, key)}
    ok: set[int] = attrs.Factory(set)
    """Strong commands that are accepted."""
    anchored: set[int] = attrs.Factory(set)

    @property
    def held(self) -> int:
        """Last command held or committed."""
        return max(self.commands, default=self.committed)

    def strong(self) -> list[int]:
        """Numbers of the strong ones, in order."""
        return sorted(number for number, (kind, _) in self.commands.items() if not kind & CAUSAL)

    def causal(self) -> list[int]:
        """Numbers of the causal ones, in order."""
        return sorted(self.commands.keys() - set(self.strong()))

    def compound(self, upto: int) -> set[int]:
        """What is judged with a command: itself, and the causal writes before it that nothing has anchored."""
        loose = {number for number in self.causal() if number < upto and number not in self.anchored}
        return loose | ({upto} & self.commands.keys())


@attrs.define
class Oracle:
    """All sessions of one witness."""

    sessions: dict[int, Held] = attrs.Factory(dict)

    def hold(self, session: int, first: int, commands: list[tuple[int, bytes]]) -> None:
        """Store commands and judge each strong one."""
        held = self.sessions[session]
        for number, (kind, key) in enumerate(commands, first):
            held.commands[number] = (kind, key)
            if not kind & CAUSAL and self.acceptable(session, number):
                held.ok.add(number)
                held.anchored |= held.compound(number)

    def acceptable(self, session: int, number: int) -> bool:
        """Whether every strong command before it is accepted and its compound footprint meets nothing anchored of another session."""
        held = self.sessions[session]
        return all(before in held.ok for before in held.strong() if before < number) and not self.blocked(session, held.compound(number))

    def blocked(self, session: int, numbers: set[int]) -> bool:
        """Whether some commands, taken as one, conflict with an anchored command of another session."""
        compound = reduce(or_, (self.footprint(session, number) for number in sorted(numbers)), Footprint())
        return any(
            conflicts(compound, self.footprint(other, number))
            for other, held in self.sessions.items()
            if other != session
            for number in held.anchored
        )

    def footprint(self, session: int, number: int) -> Footprint:
        """What one command touches."""
        return footprint_of(*self.sessions[session].commands[number])

    def anchor(self, session: int, dependency: int) -> bool:
        """Pin a chain for a read, if all of it up to there is held or accepted, and conflicts with nobody."""
        held = self.sessions[session]
        if dependency <= held.committed:
            return True
        if dependency > held.held or any(number not in held.ok for number in held.strong() if number <= dependency):
            return False
        if dependency in held.anchored:
            return True
        compound = held.compound(dependency)
        if self.blocked(session, compound):
            return False
        held.anchored |= compound
        return True

    def commit(self, session: int, upto: int) -> None:
        """Forget what is applied; who may be accepted now is the witness' choice, judged by ``check``."""
        held = self.sessions[session]
        held.committed = max(held.committed, upto)
        held.commands = {number: command for number, command in held.commands.items() if number > upto}
        held.ok &= held.commands.keys()
        held.anchored &= held.commands.keys()

    def adopt(self, session: int, accepted: int, anchored: int) -> set[int]:
        """Take over a witness' levels for a session; returns the strong commands that are accepted only now."""
        held = self.sessions[session]
        ok = {number for number in held.strong() if number <= accepted}
        pinned = {number for number in held.commands if number <= anchored}
        assert ok >= held.ok, "an acceptance was taken back"
        assert pinned >= held.anchored, "an anchor was lifted"
        fresh = ok - held.ok
        held.ok, held.anchored = ok, pinned
        return fresh

    def check(self) -> None:
        """Assert that accepted chains conflict with nobody, and that nobody is refused without reason."""
        for (one, a), (other, b) in combinations(self.sessions.items(), 2):
            for x in a.anchored:
                for y in b.anchored:
                    assert not conflicts(self.footprint(one, x), self.footprint(other, y)), ((one, x), (other, y))
        for session, held in self.sessions.items():
            assert held.ok <= held.anchored
            refused = [number for number in held.strong() if number not in held.ok]
            assert not refused or not self.acceptable(session, refused[0]), (session, refused[0])
            assert all(number in held.ok for number in held.strong() if not refused or number < refused[0]), "accepted beyond a refused one"
