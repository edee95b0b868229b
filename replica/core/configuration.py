"""Who belongs to the cluster: a configuration of voters and learners, told by the log like everything that all replicas must agree on.

A configuration counts from the moment its entry is in a replica's log, committed or not, and no longer when the entry is cut off (Raft
dissertation, section 4.1).  Only one voter comes or goes at a time, so that majorities of neighbouring configurations intersect.  *Learners* get
the log and count for nothing; a learner may be there to *replace* a voter.  An id that was removed never comes back: what its replica had promised
may be lost.

What must not live here: when a change may be made (``reconfiguration``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import attrs

from replica.core.quorum import majority
from statemachine.command import CONFIG

if TYPE_CHECKING:
    from collections.abc import Iterable

    from replica.core.messages import Entry


@attrs.frozen
class Configuration:
    """One configuration.

    Attributes:
        number: 1 for the cluster's first, one more with each change; 0 before a joining replica knows any.
        voters: ids, in the order in which they came.
        learners: likewise.
        replacing: ``(learner, voter)``: the learner, or who was one, takes the place of the voter, which is there still.
        removed: ids that must not come again.
        addresses: ``(id, host:port)`` of who came by a change; the cluster file has those of the others.
    """

    number: int
    voters: tuple[int, ...]
    learners: tuple[int, ...] = ()
    replacing: tuple[tuple[int, int], ...] = ()
    removed: tuple[int, ...] = ()
    addresses: tuple[tuple[int, str], ...] = ()

    @property
    def members(self) -> tuple[int, ...]:
        """Who gets the log."""
        return self.voters + self.learners

    @property
    def majority(self) -> int:
        """How many voters decide."""
        return majority(len(self.voters))

    def address(self, member: int) -> str:
        """Tell where a member listens; empty if the cluster file must know."""
        return dict(self.addresses).get(member, "")

    # ----------------------------------------------------------------------------------------------------------------- changes

    def with_learner(self, member: int, address: str, replaces: int = -1) -> Self:
        """Return the next configuration, with a learner more."""
        replacing = ((member, replaces),) if replaces >= 0 else ()
        return attrs.evolve(
            self, number=self.number + 1, learners=(*self.learners, member), replacing=self.replacing + replacing,
            addresses=(*self.addresses, (member, address)),
        )  # fmt: skip

    def with_voter(self, member: int) -> Self:
        """Return the next configuration, in which a learner votes."""
        learners = tuple(learner for learner in self.learners if learner != member)
        return attrs.evolve(self, number=self.number + 1, voters=(*self.voters, member), learners=learners)

    def without(self, member: int) -> Self:
        """Return the next configuration, which a voter or learner has left for ever."""
        return attrs.evolve(
            self, number=self.number + 1, voters=tuple(voter for voter in self.voters if voter != member),
            learners=tuple(learner for learner in self.learners if learner != member),
            replacing=tuple(pair for pair in self.replacing if member not in pair),
            removed=(*self.removed, member), addresses=tuple(item for item in self.addresses if item[0] != member),
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------------------ in log and snapshot

    def items(self) -> list[object]:
        """Return the configuration as plain items."""
        return [
            self.number, list(self.voters), list(self.learners), [list(pair) for pair in self.replacing], list(self.removed),
            [[member, address.encode()] for member, address in self.addresses],
        ]  # fmt: skip

    @classmethod
    def from_items(cls, items: list[Any]) -> Self:
        """Make the configuration of what ``items`` returned.

        Raises:
            ValueError: they are nothing of the kind.
        """
        try:
            number, voters, learners, replacing, removed, addresses = items
            columns = [number, *voters, *learners, *removed, *(member for pair in replacing for member in pair), *(row[0] for row in addresses)]
            if not all(type(item) is int and 0 <= item < 1 << 63 for item in columns):
                raise ValueError("a configuration names members by numbers")  # noqa: TRY301 - the same end as what unpacking raises
            told = tuple((member, address.decode()) for member, address in addresses)
            return cls(number, tuple(voters), tuple(learners), tuple((learner, voter) for learner, voter in replacing), tuple(removed), told)
        except (TypeError, AttributeError, ValueError, LookupError) as error:
            raise ValueError(f"no configuration: {error}") from None

    def command(self, mode: str) -> list[object]:
        """Return the system command that puts the configuration into the log."""
        return [CONFIG, mode, *self.items()]


def configuration_of(entry: Entry) -> Configuration | None:
    """Return the configuration that an entry brings, None for most entries."""
    return next((Configuration.from_items(command[2:]) for command in entry.system if command[0] == CONFIG), None)


@attrs.define(eq=False)
class Configurations:
    """The configurations that one replica's log tells: the applied one, and those above it."""

    told: list[tuple[int, Configuration]]
    """(index of the entry, configuration), at least one, ascending; the first is the applied one, or what was known before the log."""

    @property
    def latest(self) -> Configuration:
        """The one that counts."""
        return self.told[-1][1]

    @property
    def index(self) -> int:
        """Index of the entry that brought it, 0 for what was known before the log."""
        return self.told[-1][0]

    def add(self, entry: Entry) -> bool:
        """Take a new entry of the log; returns whether it changed the configuration."""
        configuration = configuration_of(entry)
        if configuration is None:
            return False
        self.told.append((entry.index, configuration))
        return True

    def add_all(self, entries: Iterable[Entry]) -> None:
        """Take many."""
        for entry in entries:
            if entry.system:
                self.add(entry)

    def cut(self, index: int) -> bool:
        """Give up what entries above ``index`` brought; returns whether that changed the configuration."""
        before = len(self.told)
        while len(self.told) > 1 and self.told[-1][0] > index:
            self.told.pop()
        return len(self.told) < before

    def at(self, index: int) -> Configuration:
        """Return the configuration at the end of entry ``index``, which is applied or above it; forgets older ones."""
        while len(self.told) > 1 and self.told[1][0] <= index:
            del self.told[0]
        return self.told[0][1]
