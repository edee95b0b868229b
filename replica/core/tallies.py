"""Counting what replicas answer: each section's columns go to the sessions they are for.

Nothing completes here: sessions that were touched complete together at the end of the turn (``Client.take_completions``).  Acks count in the view
they were given in (``Client.same_view``), answers of a leader only from who leads it, in a configuration whose voters are known: its word says
among whom to count (docs/protocol.md, "Membership").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.node import BUSY, GAP, REFUSALS
from replica.core.quorum import fast_quorum, majority

if TYPE_CHECKING:
    from replica.core import messages as m
    from replica.core.client import Client
    from replica.core.flights import ReadFlight
    from replica.core.session import Session


@attrs.define(eq=False)
class Tallies:
    """The counting part of a client."""

    client: Client
    fast_others: int = 0
    """Voters beside the leader that a fast quorum takes."""
    majority_others: int = 0
    """Voters beside the leader that a majority takes."""

    def count_by(self, voters: int) -> None:
        """Count among so many voters."""
        self.fast_others = fast_quorum(voters) - 1
        self.majority_others = majority(voters) - 1

    # ------------------------------------------------------------------------------------------------------------------ what is enough

    def fast_level(self, accepted: list[int]) -> int:
        """Return up to which number enough voters beside the leader accepted a session's strong commands."""
        wanted, leader = self.fast_others, self.client.place.get(self.client.leader, -1)
        if leader < 0:
            return 0  # who leads is no voter: it was removed, and speculates on nothing
        if wanted == 0:
            return 1 << 62
        others = sorted((level for place, level in enumerate(accepted) if place != leader), reverse=True)
        return others[wanted - 1]

    def reads_confirmed(self, session: Session, flight: ReadFlight) -> bool:
        """Tell whether strong reads may complete with the leader's values.

        ``k - 1`` voters pinned the chain up to their dependency in this view; or it is committed in the order of this view, and a majority with
        the leader confirmed the view (docs/protocol.md, "Strong reads").
        """
        client = self.client
        last, dependency, leader = flight.first + flight.count - 1, flight.dependency, client.place.get(client.leader, -1)
        confirmed = anchored = 0
        for place, read in enumerate(session.confirmed):
            if read >= last and place != leader:
                confirmed += 1
                if session.anchored[place] >= dependency:
                    anchored += 1
        if leader < 0:
            confirmed, anchored = confirmed - 1, 0  # who leads is no voter: one more must confirm it
        elif anchored >= self.fast_others:
            return True
        return confirmed >= self.majority_others and (dependency <= session.settled.upto or client.config.mode == "paxos")

    def causal_place(self, session: Session) -> int:
        """Return whose HELD completes a causal write: the home's (``ho``), or the leader's (``ht``)."""
        client = self.client
        return client.place.get(client.leader if client.config.mode == "ht" else session.home, 0)

    # ------------------------------------------------------------------------------------------------------------------ what is told

    def on_record_ack(self, replica: int, ack: m.RecordAck) -> None:
        """Count a witness' verdicts; a refusal is answered by sending again, or ends the session."""
        same, place = self.client.same_view(ack.view), self.client.place[replica]
        sessions, touched = self.client.sessions, self.client.touched
        for number, held, accepted in zip(ack.sessions, ack.held, ack.accepted, strict=True):
            session = sessions.get(number)
            if session is not None:
                session.on_verdict(place, held, accepted, same_view=same)
                touched[number] = session
        levels = dict(zip(ack.sessions, ack.held, strict=True)) if ack.refusals else {}
        for number, reason in ack.refusals:
            session = sessions.get(number)
            if session is None:
                continue
            if reason in (GAP, BUSY):  # a leader's gap may be one of its log, before what it holds
                self.client.send_again(replica, session, 0 if reason == GAP and replica == self.client.leader else levels.get(number, 0))
            else:
                self.client.lose(session, REFUSALS.get(reason, "refused"))

    def on_spec_reply(self, replica: int, reply: m.SpecReply) -> None:
        """Note what the leader answered speculatively, with the outcomes of its cas."""
        if not self.client.from_leader(replica, reply.config, reply.view):
            return
        sessions, touched = self.client.sessions, self.client.touched
        starts: list[tuple[int, Session | None, int]] = []
        start = 0
        for number, first, count in zip(reply.sessions, reply.firsts, reply.counts, strict=True):
            session = sessions.get(number)
            if session is not None:
                session.on_speculated(first, first + count - 1)
                touched[number] = session
            if reply.results:
                starts.append((start, session, first))
                start += count
        at = 0
        for place, succeeded in reply.results:
            while at + 1 < len(starts) and starts[at + 1][0] <= place:
                at += 1
            start, session, first = starts[at]
            if session is not None and first + place - start > session.strong_done:
                session.speculated[first + place - start] = bool(succeeded)
                session.seen = max(session.seen, reply.position)

    def on_anchor_ack(self, replica: int, ack: m.AnchorAck) -> None:
        """Count confirmations of the view and pinned chains."""
        if not self.client.same_view(ack.view):
            return
        place, sessions, touched = self.client.place[replica], self.client.sessions, self.client.touched
        for number, read, anchored in zip(ack.sessions, ack.reads, ack.anchored, strict=True):
            session = sessions.get(number)
            if session is not None:
                if read > session.confirmed[place]:  # noqa: PLR1730 - one call less for each session
                    session.confirmed[place] = read
                if anchored > session.anchored[place]:  # noqa: PLR1730 - likewise
                    session.anchored[place] = anchored
                touched[number] = session

    def on_strong_read_reply(self, replica: int, reply: m.StrongReadReply) -> None:
        """Give the leader's values to the reads that asked."""
        if not self.client.from_leader(replica, reply.config, reply.view):
            return
        end = 0
        for number, first, count in zip(reply.sessions, reply.firsts, reply.counts, strict=True):
            start, end = end, end + count
            session = self.client.sessions.get(number)
            if session is not None:
                session.on_strong_values(
                    first, reply.values[start:end], reply.versions[start:end], indexed=reply.indexed, horizon=reply.horizon, now=self.client.now
                )
                self.client.touched[number] = session

    def on_causal_read_reply(self, replica: int, reply: m.CausalReadReply) -> None:
        """Give a home's values to the reads that asked; what lags there is asked of the leader."""
        end = 0
        for number, first, count, applied in zip(reply.sessions, reply.firsts, reply.counts, reply.applied, strict=True):
            start, end = end, end + count
            session = self.client.sessions.get(number)
            if session is not None:
                session.on_causal_values(
                    first, reply.values[start:end], reply.versions[start:end], applied=applied, horizon=reply.horizon,
                    position=reply.position, from_home=session.home == replica, now=self.client.now,
                )  # fmt: skip
                self.client.touched[number] = session
        for number, first, _count in reply.lagging:
            session = self.client.sessions.get(number)
            flight = session.causal_flight(first) if session is not None else None
            if flight is not None:
                self.client.ask_leader(number, flight.first)

    def on_applied(self, replica: int, note: m.Applied) -> None:
        """Note what is committed, and the outcomes of committed cas."""
        for number, command, succeeded in note.results if note.leader else ():
            session = self.client.sessions.get(number)
            if session is not None and command > session.strong_done:
                session.results[command] = bool(succeeded)
                session.seen = max(session.seen, note.position)
        for number, upto in zip(note.sessions, note.upto, strict=True):
            session = self.client.sessions.get(number)
            if session is not None:
                session.settled.hear(upto, note.view, self.client.view)
                session.on_applied(upto, note.position, at_home=session.home == replica)
                self.client.touched[number] = session
