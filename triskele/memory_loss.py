"""Whether a cluster that keeps its data in memory has lost what it acknowledged, for good.

A replica that was started again has forgotten what it acknowledged, and is *muted*: it votes for nobody and answers no recovery until the others have
committed a view for it.  That takes a leader, and a leader takes a majority of voters that forgot nothing.  Where those that are left are none, and
none of them leads or is about to, nothing ever changes: no operator, and no time, brings the cluster back.

Certain it is only if everybody has said so: a process that does not answer may be paused, and may remember.  And only after two looks: what a leader
sent before it gave up may still have been under way at the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from replica.core.quorum import majority

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

FIRST_CONFIGURATION = 1
SURE_SECONDS = 2.0
"""Between the two looks; what was on its way between processes of one machine has long arrived by then."""
_WAITING = ("follower", "candidate")


def lost(told: Mapping[int, Mapping[str, Any]], dead: Collection[int], voters: Collection[int]) -> str:
    """Say what is lost if nothing can bring it back; empty if something may.

    Args:
        told: ``{replica: what its /status says}``, of those that answered.
        dead: replicas without a process, whose memory is gone.
        voters: all replicas of the cluster's beginning. Once its members changed, nothing is certain here.
    """
    living = [voter for voter in voters if voter not in dead]
    if any(voter not in told or told[voter].get("config_id") != FIRST_CONFIGURATION for voter in living):
        return ""
    remembering = [voter for voter in living if not told[voter].get("muted")]
    if len(remembering) >= majority(len(voters)) or any(told[voter].get("role") not in _WAITING for voter in remembering):
        return ""
    forgot = [voter for voter in voters if voter not in remembering]
    left = f"what {_named(remembering)} still {'has' if len(remembering) == 1 else 'have'} is no majority's" if remembering else "nobody has it"
    what = "what the cluster had acknowledged (memory durability)"
    return f"{_named(forgot)} forgot {what}, and {left}: it is lost, and the cluster cannot serve again"


def _named(replicas: Collection[int]) -> str:
    return f"replica{'s' if len(replicas) > 1 else ''} {' and '.join(map(str, replicas))}"


@attrs.define
class MemoryLoss:
    """Looks again and again.

    Attributes:
        verdict: What is lost, once that is certain; empty before.
    """

    verdict: str = ""
    _suspected: str = ""
    _since: float = 0.0

    def look(self, suspected: str, now: float) -> bool:
        """Take what ``lost`` says at a time, in seconds; returns whether it is certain."""
        if suspected != self._suspected:
            self._suspected, self._since = suspected, now
        elif suspected and now - self._since >= SURE_SECONDS:
            self.verdict = suspected
        return bool(self.verdict)
