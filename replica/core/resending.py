"""Sending again: the same commands under the same numbers, for ever, until their fate is known (RIFL, SOSP'15; docs/protocol.md, "Sessions").

A timer may send again; it never decides what is true.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from replica.core.log import commands_bytes
from replica.core.requests import Records, Target

if TYPE_CHECKING:
    from replica.core.client import Client
    from replica.core.session import Session

BACKOFF_MAX = 5
LOST_RESENDS = 8
"""What is not answered for so many times ``resend_seconds`` is sent again although its session goes on: an answer may be lost, a cas' outcome too."""
QUEUED_BYTES_MAX = 4 << 20
"""With more on its link nothing is sent again to a replica: it is on its way there, or would be dropped for want of room."""


@attrs.define(eq=False)
class Resending:
    """What a client sends again, and when it looks."""

    client: Client
    at: float = math.inf
    """When to look for sessions without progress, seconds."""

    def arm(self) -> None:
        """See to it that somebody looks: something is on its way."""
        if self.at == math.inf:
            self.at = self.client.now + self.client.config.resend_seconds / 2

    def commands(self, session: Session, replica: int, held: int = 0) -> None:
        """Send one replica the session's uncommitted commands again, under their numbers; the leader also those whose outcome is not known.

        Args:
            session: whose.
            replica: to whom.
            held: up to where the replica said just now that it holds them, if it did; they are left out.
        """
        mode, leads = self.client.config.mode, replica == self.client.leader
        if not session.log or (mode == "paxos" and not leads):
            return
        target = self.client.targets[replica]
        if not _has_room(target):
            target.owed.setdefault(session.id, held)
            return
        records = Records()
        previous = session.committed
        for flight in session.log:
            run = flight.run.after(max(held, min(flight.done, session.committed) if leads else session.committed))
            if not run.keys or (flight.causal and mode == "ht" and not leads):
                continue
            records.add(session.id, run, run.first - 1 if leads or mode != "ht" else previous)
            previous = run.last
        if records.sessions:
            target.extra.append(records.message())
            target.again_bytes += commands_bytes(records.keys, records.values)
            self.client.resent += 1

    def refused(self, replica: int, number: int, read: int, held: int) -> None:
        """Send a replica the commands above ``held`` that it could not take, or ask the leader for the causal reads that begin with ``read``."""
        session, targets = self.client.sessions.get(number), self.client.targets
        if session is None:
            return
        if not read:
            if replica in self.client.members.linked and replica in targets:
                self.commands(session, replica, held)
            return
        flight, leader = session.causal_reads.get(read), targets.get(self.client.leader)
        if flight is not None and leader is not None and leader.linked:
            leader.causal.add(number, flight, flight.floor)

    def everything(self, session: Session) -> None:
        """Send everything unanswered again: commands to all voters, reads to whom they belong."""
        for replica, target in self.client.targets.items():
            if target.linked:
                self.commands(session, replica)
                self.reads(session, replica)

    def reads(self, session: Session, replica: int) -> None:
        """Ask a replica again for the reads that wait for its answer: strong ones the long way."""
        if replica == self.client.leader:
            for flight in session.strong_reads:
                flight.sent_at = self.client.now
                self.client.queue_index_read(session, flight)
        if replica == session.home:
            for flight in session.causal_reads.values():
                flight.sent_at = self.client.now
                self.client.queue_causal_read(session, flight)

    def _lost(self, session: Session, before: float) -> None:
        """Send again what was sent before a time and is not answered, though the session goes on; those who answer are its home and the leader."""
        reads, commands = session.oldest_read <= before, session.oldest_command <= before and session.progress_at > session.resent_at
        for replica in {self.client.leader: None, session.home: None} if reads or commands else ():
            target = self.client.targets.get(replica)
            if reads:
                self.reads(session, replica)
            if commands and target is not None and target.linked:
                self.commands(session, replica)
        for flight in session.log if commands else ():
            flight.sent_at = self.client.now

    def check(self, now: float) -> None:
        """Send again for sessions that wait without progress; a timer may resend, it never decides anything."""
        for replica, target in self.client.targets.items():
            while target.owed and _has_room(target):
                number = next(iter(target.owed))
                self.refused(replica, number, 0, target.owed.pop(number))
        busy = False
        for session in self.client.sessions.values():
            if session.idle:
                session.backoff = 0
                continue
            busy = True
            if session.progress_at > session.resent_at:
                session.backoff = 0
            wait = self.client.config.resend_seconds * (1 << min(session.backoff, BACKOFF_MAX))
            if now - session.progress_at >= wait:
                session.backoff += 1
                session.progress_at = session.resent_at = now
                self.everything(session)
            else:
                self._lost(session, now - self.client.config.resend_seconds * LOST_RESENDS)
        self.at = now + self.client.config.resend_seconds / 2 if busy else math.inf


def _has_room(target: Target) -> bool:
    return target.queued_bytes + target.again_bytes < QUEUED_BYTES_MAX
