from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from triskele.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 8192)
    yield reading, writing
    os.close(writing)
    os.close(reading)


def test_lines_are_written(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[1])
    lines("one")
    lines("zwölf")
    assert os.read(pipe[0], 100) == "one\nzwölf\n".encode()


def test_a_full_pipe_drops_lines_and_the_next_one_through_tells_how_many(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[1])
    while not lines.dropped:
        lines("x" * 999)
    lines("lost")
    assert lines.dropped == 2
    while len(os.read(pipe[0], 4096)) == 4096:
        pass
    lines("through")
    assert os.read(pipe[0], 4096) == b"(2 lines dropped: nobody read them)\nthrough\n"
    assert lines.dropped == 0


def test_a_line_longer_than_a_pipe_takes_is_cut_and_the_next_begins_anew(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[1])
    lines("y" * 50_000)
    assert lines.dropped == 1
    got = os.read(pipe[0], 100_000)
    assert got == b"y" * len(got)
    lines("next")
    assert os.read(pipe[0], 4096) == b"\n(1 lines dropped: nobody read them)\nnext\n"


def test_a_reader_that_went_away_is_no_error() -> None:
    reading, writing = os.pipe()
    lines = Lines(writing)
    os.close(reading)
    lines("nobody hears this")
    os.close(writing)
    lines("nor this")
