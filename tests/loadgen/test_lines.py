"""JSON lines over a pipe."""

from __future__ import annotations

import subprocess
import sys

import trio

from loadgen.lines import JsonLines


class Chunks(trio.abc.ReceiveStream):
    """A stream that arrives in pieces."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = [*chunks, b""]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        assert max_bytes
        return self.chunks.pop(0)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_lines_are_read_however_they_were_cut() -> None:
    lines = JsonLines(Chunks(b'{"a"', b': 1}\n{"b": 2}\n{"c"', b": 3}", b'\n{"lost": '))
    assert [line async for line in lines] == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_a_floor_process_starts_without_the_generator() -> None:
    """What draws operations and counts latencies takes long to import, and a floor needs neither."""
    code = "import sys, loadgen.floor_process; print({'numpy', 'hdrh'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
