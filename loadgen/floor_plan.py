"""From a recorded run to what the floors' processes exchange: how many frames for each command on each kind of link, and which. Pure.

A floor keeps the recorded run's ratios and gives up its meaning. Clients keep the same number of commands in flight. A *group* is as many
commands as one frame to the busiest replica carried; for each group a client sends every replica the recorded share of a frame. A replica owes
each client the recorded number of replies for each frame it got from it, the leader owes each follower the recorded number of accepts for each
client frame, a follower the recorded number of acks for each accept. Fractions are owed until they make a whole frame. A reply counts, at the
client, as the commands that stood behind a reply in the recording; when they make a group, the next group leaves.

Requests and replies are payloads of the recording (clients sampled them). What replicas send each other a client cannot see: its frame counts
are the replicas' totals less what clients received, and its payloads are accepts made of the recorded commands, as many in each as the recording
had in the mean (each a run of its own, as writes of many sessions mostly are), and acks as a follower makes them.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final

import attrs

from replica.core.messages import Accept, AcceptAck, Entry, Record
from replica.wire import WireLimits, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from replica.core.messages import Value

LIMITS: Final = WireLimits(commands_per_frame_max=1 << 17, sections_per_frame_max=1 << 14, items_per_frame_max=1 << 20)
_PAYLOADS: Final = 16


@attrs.frozen(kw_only=True)
class FloorPlan:
    """What the processes of a floor do. Maps are ``{replica id: …}``.

    Attributes:
        replicas: their ids; ``leader`` is one of them.
        commands_in_flight: of one client driver.
        commands_per_group: see above, at least 1.
        commands_per_reply: what a reply counts at the client.
        request_share: frames to each replica for a group, 0 to 1.
        replies: of each replica for a client's frame.
        accepts: to each follower for a client's frame at the leader.
        acks: of each follower for an accept.
        request_payloads, reply_payloads: of the recording, at least one each.
        accept_payloads, ack_payloads: made here.
    """

    replicas: list[int]
    leader: int
    commands_in_flight: int
    commands_per_group: float
    commands_per_reply: float
    request_share: dict[int, float]
    replies: dict[int, float]
    accepts: float
    acks: dict[int, float]
    request_payloads: dict[int, list[bytes]]
    reply_payloads: dict[int, list[bytes]]
    accept_payloads: list[bytes]
    ack_payloads: list[bytes]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON; payloads in base64."""
        return {name: _written(value) for name, value in attrs.asdict(self).items()}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> FloorPlan:
        """Return what ``as_json`` wrote."""
        plan = dict(table)
        for name in ("request_share", "replies", "acks"):
            plan[name] = {int(replica): value for replica, value in table[name].items()}
        for name in ("request_payloads", "reply_payloads"):
            plan[name] = {int(replica): [b64decode(item) for item in items] for replica, items in table[name].items()}
        for name in ("accept_payloads", "ack_payloads"):
            plan[name] = [b64decode(item) for item in table[name]]
        return cls(**plan)


def _written(item: Any) -> Any:
    if isinstance(item, bytes):
        return b64encode(item).decode()
    if isinstance(item, dict):
        return {str(key): _written(value) for key, value in item.items()}
    return [_written(value) for value in item] if isinstance(item, list) else item


def plan_floors(
    traces: Sequence[Mapping[str, Any]],
    totals: Mapping[int, Mapping[str, float]],
    *,
    leader: int,
    operations: int,
    logged: int,
    commands_in_flight: int,
) -> FloorPlan:
    """Work out a plan.

    Args:
        traces: of the client processes (``Trace.as_json``).
        totals: of each replica over the same window: ``frames_out``.
        leader: its id.
        operations: completed in the window.
        logged: how many of them were writes.
        commands_in_flight: of one client driver.

    Raises:
        ValueError: the recording is empty.
    """
    replicas = sorted(totals)
    sent = {replica: _added(trace["sent"].get(str(replica)) for trace in traces) for replica in replicas}
    received = {replica: _added(trace["received"].get(str(replica)) for trace in traces) for replica in replicas}
    busiest = max(frames for frames, _ in sent.values())
    replies = sum(frames for frames, _ in received.values())
    if not operations or not busiest or not replies or any(not frames for frames, _ in sent.values()):
        raise ValueError("the recording is empty: not every replica was spoken to")
    followers = [replica for replica in replicas if replica != leader]
    accepts = max(0.0, totals[leader]["frames_out"] - received[leader][0]) / max(len(followers), 1)
    commands = [command for _, samples in sent.values() for command in _commands(samples)]
    return FloorPlan(
        replicas=replicas,
        leader=leader,
        commands_in_flight=commands_in_flight,
        commands_per_group=max(1.0, min(operations / busiest, commands_in_flight)),
        commands_per_reply=operations / replies,
        request_share={replica: sent[replica][0] / busiest for replica in replicas},
        replies={replica: received[replica][0] / sent[replica][0] for replica in replicas},
        accepts=accepts / sent[leader][0],
        acks={replica: max(0.0, totals[replica]["frames_out"] - received[replica][0]) / accepts if accepts else 0.0 for replica in followers},
        request_payloads={replica: sent[replica][1] for replica in replicas},
        reply_payloads={replica: received[replica][1] or [encode(0, [])] for replica in replicas},
        accept_payloads=make_accepts(commands, logged / accepts if accepts else 0.0),
        ack_payloads=[encode(1, [AcceptAck(config=1, view=1, match_index=1 << 20, round=1 << 20, heard=[1, 2])])],
    )


def _added(directions: Iterable[Mapping[str, Any] | None]) -> tuple[int, list[bytes]]:
    """Return frames and samples of all processes; their samples take turns."""
    known = [direction for direction in directions if direction is not None]
    samples = [b64decode(text) for texts in zip(*(direction["samples"] for direction in known), strict=False) for text in texts]
    return sum(direction["frames"] for direction in known), samples


def _commands(payloads: Iterable[bytes]) -> list[tuple[int, bytes, Value]]:
    """Return the logged commands of recorded requests: kind, key, value."""
    found: list[tuple[int, bytes, Value]] = []
    for payload in payloads:
        for message in decode(payload, limits=LIMITS)[1]:
            if isinstance(message, Record):
                found += zip(message.kinds, message.keys, message.values, strict=True)
    return found


def make_accepts(commands: Sequence[tuple[int, bytes, Value]], commands_per_accept: float) -> list[bytes]:
    """Return payloads of accepts with that many commands each in the mean, taken from the recording in turn; heartbeats where there are none."""
    source = cycle(commands)
    payloads, owed = [], 0.0
    for number in range(_PAYLOADS):
        owed += commands_per_accept if commands else 0.0
        count = int(owed)
        owed -= count
        taken = list(islice(source, count))
        entry = Entry(
            index=(1 << 20) + number, view=1, base=1 << 24, system=[], sessions=list(range(1, count + 1)), firsts=[1 << 16] * count,
            counts=[1] * count, incomplete=[1 << 16] * count, kinds=bytes(kind for kind, _, _ in taken), keys=[key for _, key, _ in taken],
            values=[value for _, _, value in taken],
        )  # fmt: skip
        accept = Accept(
            config=1, view=1, previous_index=(1 << 20) + number - 1, previous_view=1, commit_index=1 << 20, round=1 << 20,
            entries=[entry] if count else [],
        )  # fmt: skip
        payloads.append(encode(1, [accept]))
    return payloads
