"""Servers that speak as peers do, on real sockets of loopback, each connection in a thread of its own."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tools.peers_wires import frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def listening(talk: Callable[[bytes], tuple[bytes, int]]) -> Iterator[str]:
    """Serve for the length of the block; yield the address.

    ``talk`` takes what was received and not used, and returns what to send and how much is used.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=converse, args=(server.accept()[0],), daemon=True).start()

        def converse(opened: socket.socket) -> None:
            with opened, suppress(OSError):
                rest = b""
                while data := opened.recv(1 << 16):
                    rest += data
                    answer, used = talk(rest)
                    rest = rest[used:]
                    opened.sendall(answer)

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


class FakeRedis:
    """Answers GET, SET and WAIT."""

    def __init__(self, *, replicas: int = 2) -> None:
        self.replicas = replicas
        self.requests: list[list[bytes]] = []
        self.most_at_once = 0

    def talk(self, data: bytes) -> tuple[bytes, int]:
        answer, used, answered = b"", 0, 0
        while (found := words_at(data, used)) is not None:
            words, used = found
            self.requests.append(words)
            answered += words[0] != b"SET"
            answer += {b"GET": b"$4\r\na\r\nb\r\n", b"SET": b"+OK\r\n", b"WAIT": b":%d\r\n" % self.replicas}[words[0]]
        self.most_at_once = max(self.most_at_once, answered)
        return answer, used


def words_at(data: bytes, at: int) -> tuple[list[bytes], int] | None:
    """Return a request of RESP and where it ends; None if it is not whole yet."""

    def number(mark: bytes) -> int | None:
        nonlocal at
        line, end, _ = data[at:].partition(b"\r\n")
        assert line.startswith(mark) or not end
        at += len(line + end)
        return int(line[1:]) if end else None

    words: list[bytes] = []
    count = number(b"*")
    while count is not None and len(words) < count:
        size = number(b"$")
        if size is None or len(data) < at + size + 2:
            return None
        words.append(data[at : at + size])
        at += size + 2
    return None if count is None else (words, at)


class FakeEtcd:
    """Answers each request with an empty message, in reverse order of their arrival."""

    def __init__(self) -> None:
        self.paths = {b"Range": 0, b"Put": 0}

    def talk(self, data: bytes) -> tuple[bytes, int]:
        used = 24 if data.startswith(b"PRI") else 0
        answers: list[bytes] = []
        while len(data) >= used + 9 and len(data) >= (end := used + 9 + int.from_bytes(data[used : used + 3], "big")):
            kind, flags, stream = data[used + 3], data[used + 4], int.from_bytes(data[used + 5 : used + 9], "big")
            for path in self.paths:
                self.paths[path] += kind == 1 and b"/etcdserverpb.KV/" + path in data[used:end]
            if kind == 0 and flags & 1:
                answers.insert(0, frame(1, 4, stream, b"") + frame(0, 0, stream, bytes(5)) + frame(1, 5, stream, b""))
            used = end
        return b"".join(answers), used
