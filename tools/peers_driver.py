"""One client process for peers: a closed loop over plain blocking sockets, one connection per stream; operations, window and latencies are the load
generator's own. It reads JSON lines: an order, then the window's times; it writes ``ready`` and the result.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
from collections import Counter
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Final

from loadgen.window import Window
from loadgen.workload import CAUSAL_READ, CAUSAL_WRITE, STRONG_READ, STRONG_WRITE, KeySampler, Operations, WorkloadSettings
from tools.peers_wires import GrpcWire, PeerError, RespWire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tools.peers_wires import Token, Wire

RECEIVED_BYTES_MAX: Final = 1 << 16
SILENCE_SECONDS_MAX: Final = 10.0


class Stream:
    """One connection with a fixed number of commands in flight."""

    def __init__(self, opened: socket.socket, wire: Wire, operations: Operations) -> None:
        self.opened = opened
        self._wire = wire
        self._operations = operations

    def submit(self, count: int) -> None:
        """Submit the next operations, and send what is queued in one call."""
        now = monotonic()
        for class_, keys, values in drawn(self._operations, count):
            self._wire.ask((class_, now), keys, values)
        self.opened.sendall(self._wire.out)
        self._wire.out.clear()

    def receive(self, window: Window) -> None:
        """Take in answers, count them, and submit as many operations again.

        Raises:
            PeerError: The connection has ended.
        """
        data = self.opened.recv(RECEIVED_BYTES_MAX)
        if not data:
            raise PeerError("the peer closed a connection")
        done, failed = self._wire.feed(data)
        count_in(window, done, len(failed))
        self.submit(len(done) + len(failed))


def drawn(operations: Operations, count: int) -> Iterator[tuple[int, Sequence[bytes], Sequence[bytes]]]:
    """Draw ``count`` operations of the workload ``mix``: runs of ``(class, keys, values)``, reads without values."""
    while count:
        taken, causal, strong, writes = operations.take(count)
        count -= taken
        causal_keys, causal_values, strong_keys, strong_values, *_ = writes or ([], [], [], [])
        for class_, keys, values in (
            (CAUSAL_READ, causal, []), (STRONG_READ, strong, []),
            (CAUSAL_WRITE, causal_keys, causal_values), (STRONG_WRITE, strong_keys, strong_values),
        ):  # fmt: skip
            if keys:
                yield class_, keys, values  # type: ignore[misc] # the mix asks for keys, not for scans, and its values are bytes


def count_in(window: Window, done: Iterable[Token], failed: int) -> None:
    """Count commands that have ended just now."""
    now = monotonic()
    if now >= window.boundary:
        window.roll(now)
    for (class_, started), count in Counter(done).items():
        microseconds = int((now - started) * 1e6)
        window.counts[class_][microseconds] = window.counts[class_].get(microseconds, 0) + count
        window.operations += count
    window.failed += failed


def drive(streams: Sequence[Stream], window: Window, in_flight: int) -> None:
    """Keep every stream busy until the window has closed."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.opened, selectors.EVENT_READ, stream)
            stream.submit(in_flight)
        heard = monotonic()
        while not window.is_closed:
            ready = selector.select(0.1)
            for key, _ in ready:
                key.data.receive(window)
            now = monotonic()
            heard = now if ready else heard
            if now - heard > SILENCE_SECONDS_MAX:
                raise PeerError(f"the peer was silent for {SILENCE_SECONDS_MAX:g} s")
            window.roll(now)


def open_window(times: dict[str, float]) -> Window:
    """Return the window that the second line asks for."""
    return Window(times["begin"], times["start"], times["end"], lambda: None, lambda: None)


def operations_of(order: dict[str, Any]) -> list[Operations]:
    """Return the operations of each stream of an order."""
    workload = WorkloadSettings(**order["workload"])
    sampler = KeySampler(workload.key_space, workload.zipf)
    return [Operations(workload, order["first_stream"] + place, sampler) for place in range(order["streams"])]


def say(told: object, stream: IO[str]) -> None:
    """Write a line."""
    stream.write(json.dumps(told) + "\n")
    stream.flush()


def main(lines: IO[str], answers: IO[str]) -> int:
    """Do one run. The order: ``wire``, ``address`` (HOST:PORT), ``streams``, ``first_stream``, ``in_flight``, ``workload``."""
    order = json.loads(lines.readline())
    host, port = order["address"].rsplit(":", 1)
    streams = []
    try:
        for operations in operations_of(order):
            opened = socket.create_connection((host, int(port)), SILENCE_SECONDS_MAX)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            streams.append(Stream(opened, RespWire() if order["wire"] == "resp" else GrpcWire(order["address"]), operations))
        say("ready", answers)
        window = open_window(json.loads(lines.readline()))
        drive(streams, window, order["in_flight"])
    except (PeerError, OSError) as error:
        say({"failure": str(error)}, answers)
        return 1
    finally:
        for stream in streams:
            stream.opened.close()
    say(window.result(), answers)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.stdin, sys.stdout))
