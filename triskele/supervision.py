"""Keeps a replica running: starts its process, hears it out, starts it again when that is due.

A death is answered by a pause that doubles from one death to the next, so that a replica that cannot live costs its machine little, and that is
short again once a process has served for a while, so that a single crash costs little time.  Processes that refuse to run (wrong usage, or a
data folder that cannot be used) get a few more chances, for the reason may pass: a folder is locked while its former process still dies.
After that the replica is left dead, and its last line has told why.  One whose disk fails is tried for ever: there may be room again.

Nothing here asks whether a replica is well: one that hangs is alive.  Rejected: killing what does not answer (a replica that recovers a long
log would never get through, and a stopped process is what somebody wanted).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
import trio

from replica.listening import ListenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from triskele.child import Child

REFUSAL = 2
"""Exit status of a replica that refuses to run: wrong usage, a data folder that is not its own or was altered, a cluster that refuses it."""

NO_RESTART = "it is left dead (--no-restart)"
LAST_LINE_MAX = 500
"""Signs of a replica's last line that are told again when it ended by itself."""
AS_ASKED = "it is left dead, as asked"


class LeftDead(Exception):
    """A replica does not run and will not be started again; the message is one line."""

    exit_status = 1


@attrs.frozen(kw_only=True)
class RestartPolicy:
    """When dead replicas are started again.

    Attributes:
        first_seconds: Pause after the first death.
        most_seconds: The longest pause; each is twice the one before.
        served_seconds: A process that listened for this long has served: the next pause is the first again.
        refusals_max: A replica whose processes refused to run this many times in a row is left dead.
    """

    first_seconds: float = 1.0
    most_seconds: float = 30.0
    served_seconds: float = 10.0
    refusals_max: int = 5


RESTARTS = RestartPolicy()
"""The policy of ``triskele up``."""


@attrs.define
class Backoff:
    """The pauses of one replica by a policy."""

    policy: RestartPolicy
    _pause: float = 0.0  # seconds, the last one
    _refusals: int = 0

    def pause(self, status: int | None, served_seconds: float) -> float | None:
        """Return the seconds to wait after a death; None: leave it dead.

        Args:
            status: As ``returncode`` has it; None: no process could be started.
            served_seconds: How long it listened, 0 if it never did.
        """
        served = served_seconds >= self.policy.served_seconds
        if served:
            self.reset()
        self._refusals = self._refusals + 1 if status == REFUSAL and not served else 0
        if self._refusals >= self.policy.refusals_max:
            return None
        self._pause = min(self.policy.most_seconds, 2 * self._pause or self.policy.first_seconds)
        return self._pause

    def reset(self) -> None:
        """Forget all deaths."""
        self._pause, self._refusals = 0.0, 0


class Keeper:
    """Keeps one replica running, one process after another.

    Attributes:
        replica_id: Which replica.
        child: Its process, the last one if it is dead; None before the first.
        ending: How its last process ended, in words; empty before that.
        left_dead: Why it will not be started again, in words; empty while it runs or will run.
    """

    def __init__(
        self,
        replica_id: int,
        start: Callable[[int], Awaitable[Child]],
        policy: RestartPolicy | str,
        say: Callable[[str], None],
        changed: Callable[[str], None],
    ) -> None:
        """Start nothing yet.

        Args:
            replica_id: Which replica.
            start: Starts a process of it; raises ListenError or OSError.
            policy: When it is started again; or, in words, why it never is unless somebody asks.
            say: Takes each line that the replica writes.
            changed: Called when a process started or ended; takes a line for the user, or an empty one.
        """
        self.replica_id = replica_id
        self.child: Child | None = None
        self.ending = ""
        self.left_dead = ""
        self._start, self._say, self._changed = start, say, changed
        self._never = policy if isinstance(policy, str) else ""
        self._backoff = Backoff(RESTARTS if isinstance(policy, str) else policy)
        self._asked = ""  # why somebody wants it dead
        self._doomed = False  # its process was told to die
        self._at_once = False  # it is to be started without a pause
        self._stopping = False
        self._news = trio.Event()  # set, and replaced, when anything here changes
        self._over = trio.Event()

    @property
    def alive(self) -> bool:
        """Whether it has a process that lives."""
        return self.child is not None and self.child.alive

    @property
    def listens(self) -> bool:
        """Whether it has a process that lives and listens."""
        return self.child is not None and self.child.alive and self.child.announced.is_set()

    # ------------------------------------------------------------------------------------------------------------------ what is asked of it

    def kill(self, *, restart: bool = True) -> None:
        """Kill its process if it has one (SIGKILL); without ``restart`` it is left dead."""
        self._asked, self._at_once, self._doomed = "" if restart else AS_ASKED, False, True
        if self.child is not None:
            self.child.process.kill()
        self._tell()

    def restart(self) -> None:
        """Start it without a pause if it is dead or was told to die; do nothing if it lives."""
        self._asked, self._at_once = "", self._doomed or not self.alive
        self._backoff.reset()
        self._tell()

    def stop(self) -> None:
        """Start no process any more, and ask the one that lives to end (SIGTERM)."""
        self._stopping = True
        if self.child is not None:
            self.child.process.terminate()
        self._tell()

    async def listening(self) -> Child:
        """Wait until it has a process that listens and was not told to die; return that.

        Raises:
            LeftDead: It will not be started again.
        """
        while True:
            child = self.child
            if self.listens and not self._doomed:
                assert child is not None
                return child
            if self.left_dead and not self._at_once:
                raise LeftDead(f"replica {self.replica_id} does not run: {self.left_dead}")
            if child is None or self._doomed or not child.alive:
                await self._news.wait()
            else:
                await child.settled.wait()

    async def over(self) -> None:
        """Wait until ``run`` has returned."""
        await self._over.wait()

    # ------------------------------------------------------------------------------------------------------------------ what it does

    async def run(self) -> None:
        """Start the replica, again and again, until ``stop``. A process that lives is heard out even when this is cancelled: end it."""
        try:
            while not self._stopping:
                with trio.CancelScope(shield=True):
                    pause = await self._live()
                if not self._stopping:
                    await self._rest(pause)
        finally:
            self._over.set()

    async def _live(self) -> float | None:
        """Run one process from its start to its end; return the seconds until the next one, None to leave the replica dead."""
        self.left_dead, self._doomed, self._at_once = "", False, False
        try:
            child = self.child = await self._start(self.replica_id)
        except (ListenError, OSError) as error:
            self.ending = f"cannot be started: {error}"
            return self._backoff.pause(None, 0.0)
        if self._stopping:
            child.process.terminate()
        if self._doomed:
            child.process.kill()
        self._changed("")
        self._tell()
        await child.listen(self._say)
        status = child.process.returncode
        told = f" ({child.last_line[:LAST_LINE_MAX]})" if status is not None and status > 0 and child.last_line else ""
        self.ending = child.ending() + told
        return self._backoff.pause(status, child.served_seconds())

    async def _rest(self, pause: float | None) -> None:
        """Tell of a death, and wait until the replica is to be started again."""
        until = trio.current_time() + (math.inf if pause is None else pause)
        given_up = f"it is left dead after {self._backoff.policy.refusals_max} such ends in a row" if pause is None else ""
        self.left_dead = "" if self._at_once else self._never or self._asked or given_up
        plan = self.left_dead or (f"it is started again in {pause:g} s" if not self._at_once else "it is started again")
        self._changed(f"replica {self.replica_id} {self.ending}; {plan}")
        self._tell()
        while not (self._stopping or self._at_once):
            if self._asked and not self.left_dead:
                self.left_dead = self._asked
                self._changed(f"replica {self.replica_id}: {self.left_dead}")
                self._tell()
            with trio.move_on_at(math.inf if self.left_dead else until):
                await self._news.wait()
                continue
            return

    def _tell(self) -> None:
        news, self._news = self._news, trio.Event()
        news.set()


async def stop_all(keepers: Collection[Keeper], grace_seconds: float) -> None:
    """Stop replicas whose keepers run: all are asked at once, those that stay after the grace are killed."""
    for keeper in keepers:
        keeper.stop()
    with trio.move_on_after(grace_seconds):
        for keeper in keepers:
            await keeper.over()
    for keeper in keepers:
        if keeper.alive:
            keeper.kill(restart=False)
    for keeper in keepers:
        await keeper.over()
