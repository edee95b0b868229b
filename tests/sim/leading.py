"""What a leader may log: no end of a session that was heard of in time, and nothing while it hands over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.messages import KeepAlive, Record
from statemachine.command import EXPIRE
from tests.sim.history import Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.core.handover import HandingOver
    from replica.core.messages import Entry, Message
    from tests.sim.actors import ReplicaActor


@attrs.define(eq=False)
class Leading:
    """All leaders of a run."""

    heard: dict[tuple[int, int, int], float] = attrs.Factory(dict)
    # {(replica, its life, session): when its client last spoke for it there, by that replica's clock}
    handing: dict[int, tuple[HandingOver, int]] = attrs.Factory(dict)
    # {replica: (what it is about, the last index of its log)}

    def on_frame(self, actor: ReplicaActor, messages: Sequence[Message]) -> None:
        """A client spoke to a replica."""
        for message in messages:
            if isinstance(message, Record | KeepAlive):
                self.heard.update(dict.fromkeys([(actor.id, actor.lives, sid) for sid in message.sessions], actor.clock.now()))

    def on_entry(self, actor: ReplicaActor, entry: Entry) -> None:
        """I-END: a leader ends no session whose client it heard within its lease.

        Raises:
            Violation: it did.
        """
        node = actor.core.node
        if actor.core.leader is None or entry.view != node.view:
            return
        for command in entry.system:
            if command[0] == EXPIRE:
                sid = command[1]
                assert isinstance(sid, int)
                at, record = self.heard.get((actor.id, actor.lives, sid)), node.sessions.table.get(sid)
                if at is not None and record is not None and actor.clock.now() - at <= record.lease_seconds - 1e-9:
                    raise Violation(
                        f"I-END: {actor.name} ends {sid}, heard {actor.clock.now() - at:.4f} s ago, with a lease of {record.lease_seconds} s"
                    )

    def on_turn(self, actor: ReplicaActor) -> None:
        """While a leader hands over its log does not grow.

        Raises:
            Violation: it did.
        """
        leader, last = actor.core.leader, actor.core.node.log.last_index
        if leader is None or leader.handing_over is None:
            self.handing.pop(actor.id, None)
            return
        before = self.handing.get(actor.id)
        if before is not None and before[0] is leader.handing_over and before[1] != last:
            raise Violation(f"handing over: {actor.name} logged {actor.core.node.log.get(last)} meanwhile")
        self.handing[actor.id] = leader.handing_over, last
