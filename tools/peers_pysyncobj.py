"""One node of PySyncObj as a process, with its streams inside: it is a library, an application's nodes are its clients.

It speaks as ``tools/peers_driver.py``: an order, ``ready`` (here: with the leader), the window's times, the result. Nodes without streams tick on
until their input ends. PySyncObj must be importable; it is no dependency of ours.
"""

from __future__ import annotations

import importlib
import json
import queue
import sys
import threading
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Final

from loadgen.workload import CAUSAL_READ, STRONG_READ
from tools.peers_driver import count_in, drawn, open_window, operations_of, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.window import Window
    from loadgen.workload import Operations
    from tools.peers_wires import Token

BATCH_SECONDS: Final = 0.001
"""How long the leader gathers commands before it sends them (``appendEntriesPeriod``; 0.1 by default, a latency nobody wants; less is no faster)."""


def replicated_table(address: str, others: list[str]) -> Any:
    """Return a node with a replicated table: ``put`` and ``read`` go through its log, ``table`` is its own copy."""
    pysyncobj = importlib.import_module("pysyncobj")

    class Table(pysyncobj.SyncObj):  # type: ignore[misc, name-defined] # imported at run time
        def __init__(self) -> None:
            self.table: dict[bytes, bytes] = {}
            settings = {"autoTick": False, "appendEntriesPeriod": BATCH_SECONDS, "connectionRetryTime": 0.1}
            super().__init__(address, others, pysyncobj.SyncObjConf(**settings))

        @pysyncobj.replicated  # type: ignore[untyped-decorator]
        def put(self, key: bytes, value: bytes) -> None:
            self.table[key] = value

        @pysyncobj.replicated  # type: ignore[untyped-decorator]
        def read(self, key: bytes) -> bytes | None:
            return self.table.get(key)

    return Table()


class EmbeddedStream:
    """A stream whose client is the node's own process."""

    def __init__(self, node: Any, operations: Operations, window: Window) -> None:
        self._node = node
        self._operations = operations
        self._window = window
        self._done: list[Token] = []
        self._failed = 0

    def submit(self, count: int) -> None:
        """Submit the next operations; causal reads are answered on the spot, from the node's own copy, and make room for others."""
        while count:
            now = monotonic()
            answered: list[Token] = []
            for class_, keys, values in drawn(self._operations, count):
                token = class_, now
                if class_ == CAUSAL_READ:
                    answered += [(token, self._node.table.get(key))[0] for key in keys]
                elif class_ == STRONG_READ:
                    for key in keys:
                        self._node.read(key, callback=self._heard(token))
                else:
                    for key, value in zip(keys, values, strict=True):
                        self._node.put(key, value, callback=self._heard(token))
            count_in(self._window, answered, 0)
            count = len(answered)

    def turn(self) -> None:
        """Count what has ended since the last turn, and submit as many operations again."""
        done, failed = self._done, self._failed
        self._done, self._failed = [], 0
        count_in(self._window, done, failed)
        self.submit(len(done) + failed)

    def _heard(self, token: Token) -> Callable[[object, object], None]:
        def callback(_result: object, failure: object) -> None:
            if failure:  # FAIL_REASON.SUCCESS is 0
                self._failed += 1
            else:
                self._done.append(token)

        return callback


def main(lines: IO[str], answers: IO[str]) -> int:
    """Be a node until the input ends."""
    order = json.loads(lines.readline())
    node = replicated_table(order["address"], order["others"])
    operations = operations_of(order)
    while not node.isReady() or (leader := node._getLeader()) is None:  # noqa: SLF001 - told by no public name
        node.doTick(0.01)
    say({"leader": leader.id}, answers)
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_pass_on, args=(lines, orders), daemon=True).start()
    while True:
        node.doTick(BATCH_SECONDS / 2)
        if orders.empty():
            continue
        if not (line := orders.get()):
            return 0
        window = open_window(json.loads(line))
        streams = [EmbeddedStream(node, own, window) for own in operations]
        for stream in streams:
            stream.submit(order["in_flight"])
        while not window.is_closed:
            node.doTick(BATCH_SECONDS / 2)
            for stream in streams:
                stream.turn()
            window.roll(monotonic())
        say(window.result(), answers)


def _pass_on(lines: IO[str], orders: queue.SimpleQueue[str]) -> None:
    """Pass lines on as they come, and an empty one at the end."""
    for line in lines:
        orders.put(line)
    orders.put("")


if __name__ == "__main__":
    sys.exit(main(sys.stdin, sys.stdout))
