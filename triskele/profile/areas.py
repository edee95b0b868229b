"""Puts every call stack into one area of work, so that the areas' shares add up to the whole.

The innermost frame whose file belongs to an area decides: what a library, the interpreter or generated code does is its caller's cost.  System
calls on sockets and epolls are told apart by the name they are called by, functions of the links by what they are for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from replica.profiling.naming import COLLECTION, OTHER_THREADS, SAMPLING

if TYPE_CHECKING:
    from replica.profiling.recording import Frame, Recording, Stack

WRITES, READS, POLLING, ENCODING = "network writes", "network reads", "polling", "encoding"
PROTOCOL, STATE, STORAGE, GARBAGE = "protocol", "state machine", "storage", "garbage collection"
GENERATOR, OTHER = "load generator", "other"

AREAS = {
    WRITES: "sending: the system calls, and what gathers frames for them",
    READS: "receiving: the system calls, and what takes frames apart",
    POLLING: "waiting for sockets and choosing who runs: epoll, Trio's run loop, turns",
    ENCODING: "messages to bytes and back",
    PROTOCOL: "who accepts, orders, commits and answers what; also the client's side of it",
    STATE: "applying commands, answering queries",
    STORAGE: "the journal, its encoding, its syncs, snapshots; other threads: a replica has them for slow disks only",
    GARBAGE: "Python's cyclic collector",
    GENERATOR: "drawing operations, measuring latencies (client processes only)",
    OTHER: "admin pages, counters, starting, taking the samples",
}
"""Every area, and what belongs to it."""

_SENDS = frozenset({"send", "sendmsg", "sendall", "sendto"})
_RECEIVES = frozenset({"recv", "_recv", "recv_into", "recvmsg"})
_POLLS = frozenset({"poll", "epoll_wait", "select", "sched_yield", "offer_processor", "eventfd_write", "register", "modify", "unregister", "control"})
_SENDING = re.compile(r"send|flush|transmit|writ|block|push|gather|append")
_RECEIVING = re.compile(r"rec|read|again|feed")

_BESIDE = {COLLECTION: GARBAGE, OTHER_THREADS: STORAGE, SAMPLING: OTHER}
_PREFIXES = (
    ("transport/frame.py", ENCODING),
    ("transport/batch.py", WRITES),
    ("transport/hub.py", POLLING),
    ("transport/turns.py", POLLING),
    ("trio/", POLLING),
    ("replica/core/", PROTOCOL),
    ("replica/driver.py", PROTOCOL),
    ("replica/client_driver.py", PROTOCOL),
    ("replica/alarm.py", PROTOCOL),
    ("replica/wire", ENCODING),
    ("replica/packing.py", ENCODING),
    ("replica/persistence.py", STORAGE),
    ("replica/storage/", STORAGE),
    ("replica/journal_codec.py", STORAGE),
    ("replica/snapshot_file.py", STORAGE),
    ("replica/profiling/", OTHER),
    ("replica/", OTHER),
    ("statemachine/", STATE),
    ("loadgen/", GENERATOR),
    ("triskele/", OTHER),
)
"""The first that a file's name begins with."""


def area_of(recording: Recording, stack: Stack) -> str:
    """Return the area of a stack."""
    for place in reversed(stack.frames):
        area = _area_of_frame(recording.frames[place])
        if area:
            return area
    return OTHER


def _area_of_frame(frame: Frame) -> str:
    """Return the area a frame decides for, nothing if its caller has to."""
    if frame.native and not frame.file:
        return _BESIDE.get(frame.function, "")
    of_links = frame.file.startswith("transport/")
    if frame.native:
        return _area_of_call(frame.function) if of_links or frame.file.startswith(("trio/", "socket.py", "selectors.py")) else ""
    for prefix, area in _PREFIXES:
        if frame.file.startswith(prefix):
            return area
    if of_links:
        name = frame.function.rpartition(".")[2]
        return WRITES if _SENDING.search(name) else READS if _RECEIVING.search(name) else OTHER
    return ""


def _area_of_call(name: str) -> str:
    if name in _SENDS:
        return WRITES
    if name in _RECEIVES:
        return READS
    return POLLING if name in _POLLS else ""
