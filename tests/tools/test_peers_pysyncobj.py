"""Streams inside a node: local reads cost no slot, everything else does until its callback came."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs

from loadgen.window import Window
from loadgen.workload import WorkloadSettings
from tools.peers_driver import operations_of
from tools.peers_pysyncobj import EmbeddedStream

if TYPE_CHECKING:
    from collections.abc import Callable


class Node:
    """A node as a stream sees it: calls wait for ``commit``."""

    def __init__(self) -> None:
        self.table: dict[bytes, bytes] = {}
        self.waiting: list[tuple[str, Callable[[object, object], None]]] = []

    def put(self, key: bytes, value: bytes, callback: Callable[[object, object], None]) -> None:
        assert len(value) == 100
        self.table[key] = value
        self.waiting.append(("put", callback))

    def read(self, key: bytes, callback: Callable[[object, object], None]) -> None:
        assert key.startswith(b"key:")
        self.waiting.append(("read", callback))

    def commit(self, failure: int = 0) -> Counter[str]:
        waiting, self.waiting = self.waiting, []
        for _, callback in waiting:
            callback(None, failure)
        return Counter(kind for kind, _ in waiting)


def embedded(node: Node, window: Window) -> EmbeddedStream:
    order = {"workload": attrs.asdict(WorkloadSettings(key_space=100)), "first_stream": 0, "streams": 1}
    return EmbeddedStream(node, operations_of(order)[0], window)


def test_local_reads_are_answered_at_once_and_the_rest_fills_the_slots() -> None:
    node, window = Node(), Window.idle()
    stream = embedded(node, window)
    stream.submit(200)
    assert len(node.waiting) == 200
    assert window.operations > 100  # about as many local reads as other commands
    assert not any(window.counts[1:])


def test_what_is_committed_is_counted_and_makes_room() -> None:
    node, window = Node(), Window.idle()
    stream = embedded(node, window)
    stream.submit(200)
    local = window.operations
    stream.turn()
    assert (window.operations, len(node.waiting)) == (local, 200)
    committed = node.commit()
    assert committed["read"] > committed["put"] > 0
    stream.turn()
    assert len(node.waiting) == 200
    assert sum(sum(counts.values()) for counts in window.counts[1:]) == 200


def test_what_fails_is_counted_as_failed_only() -> None:
    node, window = Node(), Window.idle()
    stream = embedded(node, window)
    stream.submit(20)
    node.commit(failure=3)
    stream.turn()
    assert window.failed == 20
    assert not any(window.counts[1:])
    assert len(node.waiting) == 20
