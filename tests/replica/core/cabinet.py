"""A leader that changes the members, with followers at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.core.reconfiguration import ChangeRefused
from tests.replica.core.seat import Seat

if TYPE_CHECKING:
    from replica.core.configuration import Configuration

NEW = 7
"""The id of who comes."""


class Cabinet(Seat):
    """A leader whose followers acknowledge everything, unless a test says who does."""

    def __init__(self, voters: int = 3) -> None:
        super().__init__(voters, election_seconds=0.5)
        self.session = self.open(b"t")[0]

    @property
    def told(self) -> Configuration:
        return self.node.configuration

    def shape(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.told.voters, self.told.learners

    def add(self, replaces: int = -1, member: int = NEW) -> None:
        self.leader.reconfiguration.add(member, f"host:{member}", replaces)

    def remove(self, member: int) -> None:
        self.leader.reconfiguration.remove(member)

    def refusal(self, step: str, *arguments: int) -> str:
        """Ask for what is to be refused; returns why it is."""
        before = self.leader.reconfiguration.wanted, self.node.log.last_index
        with pytest.raises(ChangeRefused) as refused:
            getattr(self, step)(*arguments)
        assert (self.leader.reconfiguration.wanted, self.node.log.last_index) == before
        return str(refused.value)

    def pass_turns(self, *acknowledging: int) -> None:
        """Let some turns pass in which these (all) followers acknowledge."""
        for _ in range(4):
            self.turn()
            self.ack(*acknowledging)
            self.apply()

    def learn(self, member: int = NEW) -> None:
        """Add a learner, linked, that has nothing yet."""
        self.add(member=member)
        self.leader.link_up(member)
        for _ in range(2):
            self.turn()
            self.ack(*self.told.voters[1:])
            self.apply()
