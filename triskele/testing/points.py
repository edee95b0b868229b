"""The names of all fault points, and where each lies; ``transport.fault_points.reach`` stands there."""

from __future__ import annotations

POINTS = {
    "start.listening": "a replica has started its tasks and listens",
    "handshake.judge": "a replica reads who is at the other end of a new link",
    "link.up": "a replica's link is usable, its core does not know yet",
    "link.down": "a replica's link has ended, its core does not know yet",
    "frames.received": "a replica has received frames, none is decoded",
    "turn.begin": "a replica's turn ends now; nothing is applied",
    "turn.before_write": "there is something to write to the journal",
    "turn.after_write": "it is written and safe, the core does not know yet",
    "turn.before_send": "the turn's effects are taken, nothing has left",
    "turn.after_replies": "clients have their answers, peers nothing",
    "turn.end": "everything has left",
    "batch.persisted": "a batch became safe outside of a turn",
    "snapshot.look": "the task that writes snapshots and seals the log looks at it",
    "guard.look": "the task that compares states with the other replicas looks",
    "peering.look": "the task that keeps links to the other replicas begins, or its members changed",
    "hash.begin": "the task that brings the state hash up to date begins",
    "stop.begin": "a replica was asked to stop",
    "stop.handed_over": "it leads no more",
    "stop.before_close": "what it held is committed, its links are open",
    "disk.create": "a file is about to be made",
    "disk.write": "a file is about to be written",
    "disk.sync": "a file is about to be synced",
    "disk.rename": "a file is about to be renamed",
    "disk.remove": "a file is about to be removed",
    "disk.sync_folder": "the names of a folder are about to be synced",
    "disk.thread": "a thread is about to do what takes a disk long",
    "fabric.dial": "a connection is about to be made",
    "fabric.accept": "a connection is about to be accepted",
    "memory.transmit": "a link gives its queue to the network",
    "memory.deliver": "a link is about to take what has arrived",
    "client.link_up": "a client's link is usable, its core does not know yet",
    "client.link_down": "a client's link has ended, its core does not know yet",
    "client.frames_received": "a client has received frames, none is decoded",
    "client.turn_begin": "a client's turn ends now",
    "client.before_complete": "commands are complete, their programs do not know yet",
    "client.before_send": "what the client wants to send is taken, nothing has left",
    "client.turn_end": "everything has left",
}
"""{name: the moment}"""


SHARED_POINTS = ("fabric.dial", "memory.transmit", "memory.deliver")
"""Those that replicas and clients reach."""


def fault_points(*, client: bool | None = None) -> list[str]:
    """Name all fault points, for ``Cluster.fail_at``; only those that a client reaches, or only those that a replica does."""
    return [name for name in POINTS if client is None or name.startswith("client.") == client or name in SHARED_POINTS]
