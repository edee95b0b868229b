"""The hub: one task that waits for all native links at once, handles every burst, and ends the turn in place.

One epoll of its own holds all native sockets, so a turn costs one wait however many links are ready, where a task for each link would cost a
wake-up, an ``epoll_ctl`` and an ``epoll_wait`` each.  Run to completion: receive, decode, handle, end the turn, send; no queue between.

Interrupts or polling, as Linux's NAPI does it: after a turn the hub polls again without waiting (1 us), and goes on with the next turn while
there is one; only when nothing is ready it sleeps in Trio (about 10 us and two system calls).  It never spins: a poll that finds nothing is
followed by sleep.  Every ``CHECKPOINT_SECONDS`` of unbroken work it lets Trio's other tasks run.

Between two turns it offers the processor to whoever waits for it (``sched_yield``, half a microsecond).  Where processes share too few
cores, the others run first and the next turn finds what all of them sent: fewer turns and fewer, larger frames for the same work, no timer, and
nothing waited for while a core is free.  Not after a sleep: who slept is not what keeps the others waiting, and they may be strangers.  Where the
end of a turn is dear, as one that waits for a disk, the hub may *gather*: in unbroken turns it offers the processor once more when a burst is
handled, and takes into the same turn what came meanwhile.  Rejected: to gather always (in memory a tenth less), to gather twice, and
``SCHED_BATCH`` (no gain, and 1 x 1 fell to a tenth while strange processes kept the machine busy).

Trio waits for the hub's epoll descriptor itself (an epoll is readable when one of its members is ready).
"""

from __future__ import annotations

import os
import select
from time import monotonic, thread_time
from typing import TYPE_CHECKING

import trio

from transport.errors import LocalMisuse
from transport.statistics import HubStatistics, LinkStatistics, SystemCalls, new_histogram

if TYPE_CHECKING:
    from transport.tcp import TcpLink
    from transport.turns import Turns

CHECKPOINT_SECONDS = 0.004
"""Longest time of unbroken turns before Trio's other tasks run: timers, admin requests, WebSocket links. A look at them takes some 25 us, a turn
a few hundred, so one after each turn would be dear; what is due in the core itself is looked at in each turn (``replica.alarm``)."""

SHORT_SECONDS = 0.001
"""Trio's timers have a resolution of one millisecond; shorter holds are waited for in ``select``."""


class Hub:
    """All native links of a process.

    Args:
        turns: ended in place after each burst.

    Attributes:
        gathers: a turn takes in what comes while the processor is offered to others; for those whose end is dear.
    """

    def __init__(self, turns: Turns) -> None:
        """Make the epoll; no task yet."""
        self.turns = turns
        self.gathers = False
        self._turn_seconds = self._turn_cpu_seconds = 0.0  # the maxima since the mark
        self._before_mark = (0.0, 0.0)
        self._marks = 0
        self._epoll = select.epoll()
        self._kick = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._kick, select.EPOLLIN | select.EPOLLET)  # edge-triggered: need not be read
        self._links: dict[int, TcpLink] = {}  # {file descriptor: link}
        self._again: dict[TcpLink, None] = {}  # links with a backlog, in order
        self._held: dict[TcpLink, float] = {}  # {link held back by its policy: when it is due}
        self._busy = False  # inside a turn or on the way to one: no need to kick
        self._stopped = False
        self._turns_ended = self._waits = self._polls = self._other = 0
        self._links_closed = 0
        self._retired = LinkStatistics()  # of closed links

    # ------------------------------------------------------------------------------------------------------------------- links' side

    def add(self, link: TcpLink) -> None:
        """Register a new link; called by the link."""
        if self._stopped:
            message = "the hub has stopped"
            raise LocalMisuse(message)
        self._links[link.fd] = link
        self._other += 1
        self._epoll.register(link.fd, select.EPOLLIN)

    def set_interest(self, link: TcpLink, interest: int) -> None:
        """Wait for these epoll events of the link; called by the link."""
        self._other += 1
        self._epoll.modify(link.fd, interest)

    def remove(self, link: TcpLink) -> None:
        """Forget a link that is about to close its socket; called by the link."""
        del self._links[link.fd]
        self._again.pop(link, None)
        self._held.pop(link, None)
        self._links_closed += 1
        self._retired = self._retired + link.statistics()
        if not self._epoll.closed:
            self._other += 2  # and the close
            self._epoll.unregister(link.fd)

    def again(self, link: TcpLink) -> None:
        """Call the link's ``on_again`` in the next turn."""
        self._again[link] = None
        self._wake()

    def hold(self, link: TcpLink, due: float) -> None:
        """Flush the link again at ``due`` (``time.monotonic`` seconds)."""
        self._held[link] = due
        self._wake()

    def _wake(self) -> None:
        if not self._busy and not self._stopped:
            self._busy = True
            self._other += 1
            os.eventfd_write(self._kick, 1)

    # --------------------------------------------------------------------------------------------------------------------- hub's side

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Serve the links until cancelled; then they are all closed (``hub_stopped``) with nothing more sent.

        Raises:
            Exception: whatever ``on_frames`` or the end of a turn raises: a bug, which must end the nursery.
        """
        try:
            await self._serve()
        finally:
            self.close()

    def close(self) -> None:
        """Close all links with nothing more sent, and the hub's descriptors; ``run`` does it at its end."""
        if not self._stopped:
            self._stopped = True
            for link in list(self._links.values()):
                link.abort("hub_stopped")
            self._epoll.close()
            os.close(self._kick)

    async def _serve(self) -> None:
        poll, offer_processor = self._epoll.poll, os.sched_yield
        started = checkpoint_at = monotonic()
        used = thread_time()
        unbroken = False
        while True:
            self._busy = True
            self._polls += 1
            events = poll(0)
            if not events and not self._again:
                if self._held:
                    if not self._release():
                        await self._wait_held()
                else:
                    self._waits += 1
                    self._busy = False
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                started = checkpoint_at = monotonic()
                used = thread_time()
                unbroken = False
                continue
            self._handle(events)
            if self.gathers and unbroken and not self._again:  # a link with a backlog had all it may have in one turn
                self._gather()
            self.turns.end_now()
            if self._held:
                self._flush_held()
            self._turns_ended += 1
            now = monotonic()
            if now - started > self._turn_cpu_seconds:  # shorter ones cannot have used more
                self._turn_seconds = max(self._turn_seconds, now - started)
                self._turn_cpu_seconds = max(self._turn_cpu_seconds, thread_time() - used)
            if now - checkpoint_at > CHECKPOINT_SECONDS:
                self._polls += 1  # Trio's own, at the checkpoint
                await trio.lowlevel.checkpoint()
                checkpoint_at = monotonic()
            self._other += 1
            offer_processor()
            unbroken = True
            started = monotonic()
            used = thread_time()

    def _gather(self) -> None:
        """Take into this turn what the others send when they are offered the processor."""
        self._other += 1
        os.sched_yield()
        self._polls += 1
        events = self._epoll.poll(0)
        if events:
            self._handle(events)

    def _handle(self, events: list[tuple[int, int]]) -> None:
        """Let every ready link receive (and go on sending)."""
        if self._again:
            backlogged, self._again = self._again, {}
            for link in backlogged:
                link.on_again()
        links = self._links
        for descriptor, flags in events:
            found = links.get(descriptor)
            if found is None:
                continue  # the kick, or a link closed in this very turn
            if flags & ~select.EPOLLOUT:
                found.on_readable()
            if flags & select.EPOLLOUT and found.close_reason is None:
                found.on_writable()

    def _flush_held(self) -> None:
        """Flush the held links that are due."""
        now = monotonic()
        due = [link for link, at in self._held.items() if at <= now]
        for link in due:
            self._held.pop(link, None)
            link.flush()

    def _release(self) -> bool:
        """Send what is held only while there is other work, for there is none; returns whether there was any."""
        released = [link for link in self._held if link.holds_only_while_busy]
        for link in released:
            del self._held[link]
            link.release()
        return bool(released)

    async def _wait_held(self) -> None:
        """Wait until a link is readable or the first held link is due."""
        remaining = min(self._held.values()) - monotonic()
        if remaining > SHORT_SECONDS:
            self._waits += 1
            self._busy = False
            with trio.move_on_after(remaining):
                await trio.lowlevel.wait_readable(self._epoll.fileno())
        else:
            self._polls += 1
            await trio.lowlevel.checkpoint()
            remaining = min(self._held.values(), default=0.0) - monotonic()
            if remaining > 0 and not self._again:
                # Blocks the process, for a fraction of a millisecond at most: the only wait with a resolution below that.
                self._polls += 1
                select.select((self._epoll,), (), (), remaining)
        self._flush_held()

    @property
    def batch_delay_seconds(self) -> float:
        """How long a queue is held at present, at the link that holds longest."""
        return max((link.batch_delay_seconds for link in self._links.values()), default=0.0)

    def longest_turns(self) -> dict[str, float]:
        """Return of all turns since the start the longest, ``turn_seconds_max``, receiving and handling included; and ``turn_cpu_seconds_max``, the
        most processor time that one took: what a longer one has beyond it, it waited for a core that others had."""
        seconds, cpu_seconds = self._before_mark
        return {"turn_seconds_max": max(seconds, self._turn_seconds), "turn_cpu_seconds_max": max(cpu_seconds, self._turn_cpu_seconds)}

    def turns_since_mark(self) -> dict[str, float]:
        """Return the same of the turns since ``mark_turns`` was called last, and how often it was: who set a mark sees whether somebody did since."""
        return {"turn_marks": self._marks, "turn_seconds_since_mark": self._turn_seconds, "turn_cpu_seconds_since_mark": self._turn_cpu_seconds}

    def mark_turns(self) -> None:
        """Begin ``turns_since_mark`` anew; called between two turns."""
        longest = self.longest_turns()
        self._before_mark = (longest["turn_seconds_max"], longest["turn_cpu_seconds_max"])
        self._turn_seconds = self._turn_cpu_seconds = 0.0
        self._marks += 1

    def statistics(self) -> HubStatistics:
        """Snapshot the counters of the hub and of all its links, closed ones included."""
        links = self._retired + self._open_statistics()
        calls = links.syscalls
        return HubStatistics(
            turns=self._turns_ended,
            waits=self._waits,
            links_open=len(self._links),
            links_closed=self._links_closed,
            syscalls=SystemCalls(
                send=calls.send,
                receive=calls.receive,
                poll=calls.poll + self._polls + 2 * self._waits,  # Trio's epoll_ctl and epoll_wait for each wait
                other=calls.other + self._other,
            ),
            links=links,
        )

    def _open_statistics(self) -> LinkStatistics:
        """Add up the open links field by field: a thousand links' snapshots would make a long turn."""
        links = list(self._links.values())
        return LinkStatistics(
            frames_in=sum(link.frames_in for link in links),
            frames_out=sum(link.frames_out for link in links),
            bytes_in=sum(link.bytes_in for link in links),
            bytes_out=sum(link.bytes_out for link in links),
            commands_in=sum(link.commands_in for link in links),
            commands_out=sum(link.commands_out for link in links),
            dropped=sum(link.dropped for link in links),
            blocked=sum(link.blocked_sends for link in links),
            empty_receives=sum(link.empty_receives for link in links),
            syscalls=SystemCalls(send=sum(link.sends for link in links), receive=sum(link.receives for link in links)),
            frames_per_send=tuple(map(sum, zip(*[link.frames_per_send for link in links], strict=True))) if links else tuple(new_histogram()),
        )
