"""Who votes, as one client knows it.

A command completes when enough of the leader's configuration answered, so only a leader's word says who that is: another replica's log may hold a
change that is never committed.  The cluster's first configuration is the same whoever tells it.  Where new members listen may be told by
anybody: it only helps to find the leader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from replica.core import messages as m
from replica.core.configuration import Configuration
from replica.core.requests import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replica.core.client import Client
    from replica.core.messages import Message

FIRST = 1
"""Number of a cluster's first configuration."""


@attrs.define(eq=False)
class Members:
    """One client's knowledge; the client speaks to ``targets`` only, the voters of the configuration that counts.

    Attributes:
        client: whose.
        configuration: the one that counts; 0 while nobody has told one that may.
        voters: of it, or of what was told first, to begin with.
    """

    client: Client
    configuration: int
    voters: Sequence[int]
    first: Sequence[int] | None = None
    """Voters of the first configuration, if they are known."""
    view: int = 0
    """In which view a leader told the configuration."""
    linked: dict[int, None] = attrs.Factory(dict)
    # {linked replica, voter or not}
    addresses: dict[int, str] = attrs.Factory(dict)
    # {voter: where it listens}, news since ``take_addresses``
    questions_due: bool = False
    """A ping's time has passed since ``take_questions``."""

    def __attrs_post_init__(self) -> None:
        if self.configuration == FIRST:
            self.first = self.voters
        else:
            self.configuration = 0
        self._count_by(self.voters)

    @property
    def steps(self) -> dict[type, Callable[[int, Any], None]]:
        """What is taken from replicas that are no voters too."""
        return {m.Leader: self.on_leader, m.Members: self.on_members}

    def learn_first(self, voters: Sequence[int]) -> None:
        """Somebody told the voters of the first configuration."""
        self.first = self.first or voters

    def known(self, configuration: int) -> bool:
        """Whether the voters of the leader's configuration are known, so that its word counts.

        A number says whom it means together with the view: a change that was cut off the log leaves its number to another one.
        """
        if configuration == FIRST != self.configuration and self.first is not None:
            self._change(FIRST, self.client.view, self.first)  # the others were never committed, or nobody had told one
        return configuration == self.configuration and (configuration == FIRST or self.view == self.client.view)

    def on_leader(self, replica: int, news: m.Leader) -> None:  # noqa: ARG002 - one signature for all
        """Learn who leads."""
        self.client.on_view(news.view, news.leader)

    def on_members(self, replica: int, told: m.Members) -> None:
        """Learn who votes, from the leader; and where to find them, from anybody."""
        configuration = Configuration.from_items(told.configuration)
        for voter, address in configuration.addresses:
            if voter in configuration.voters and voter not in self.linked:
                self.addresses[voter] = address
        if not told.leads:
            return
        self.client.on_view(told.view, replica)
        if told.view == self.client.view and (told.view, configuration.number) > (self.view, self.configuration):
            self._change(configuration.number, told.view, configuration.voters)

    def _change(self, configuration: int, view: int, voters: Sequence[int]) -> None:
        """Count by another configuration; everything unanswered is sent again, to whom it concerns now."""
        self.configuration, self.view = configuration, view
        if list(voters) == list(self.voters):
            return
        left = [voter for voter in self.voters if voter not in voters]
        come = [voter for voter in voters if voter not in self.voters]
        self._count_by(voters)
        client = self.client
        for session in (*client.sessions.values(), *client.openings.waiting.values()):
            session.new_view()
        for voter in left:
            client.homes.lines.pop(voter, None)
        for voter in come:
            if voter in self.linked:
                client.greet(voter)
        for voter in left:
            client.leave(voter)
        client.send_everything(newer=False)

    def _count_by(self, voters: Sequence[int]) -> None:
        client, known = self.client, dict(self.client.targets)
        self.voters = voters
        client.targets.clear()
        client.targets.update((voter, known.get(voter) or Target()) for voter in voters)
        client.place.clear()
        client.place.update((voter, place) for place, voter in enumerate(voters))
        client.tallies.count_by(len(voters))

    def take_questions(self) -> list[tuple[int, list[Message]]]:
        """Make the frames, once a ping's time, to all that are linked and do not vote as far as is known.

        One of them may lead: a change that was to remove it was cut off, or those known to vote were removed meanwhile, and do not know who leads.
        A leader says who votes when it begins to lead, but that may be lost, and nobody else's word counts.
        """
        self.questions_due = False
        return [(replica, [m.Ping(0)]) for replica in self.linked if replica not in self.client.targets]

    def take_addresses(self) -> dict[int, str]:
        """Hand over where voters that are not linked listen, as far as it is news."""
        addresses, self.addresses = self.addresses, {}
        return addresses
