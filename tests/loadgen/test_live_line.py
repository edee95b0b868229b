from __future__ import annotations

import io
from typing import TYPE_CHECKING

from loadgen.live_line import LiveLine

if TYPE_CHECKING:
    import pytest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_keeps_what_is_said_and_rewrites_what_is_shown() -> None:
    stream = Terminal()
    line = LiveLine(stream)
    assert line.is_live
    for word in ("one", "two"):
        line.show(word)
    line.say("kept")
    line.end()
    assert stream.getvalue() == "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[Kkept\n\r\x1b[K"


def test_a_line_that_would_wrap_is_cut_where_it_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    stream = Terminal()
    LiveLine(stream).show("0123456789abc")
    LiveLine(stream).say("0123456789abc")
    assert stream.getvalue() == "\r\x1b[K012345678\r\x1b[K0123456789abc\n"


def test_elsewhere_every_line_is_kept() -> None:
    stream = io.StringIO()
    line = LiveLine(stream)
    line.show("one")
    line.say("two")
    line.end()
    assert not line.is_live
    assert stream.getvalue() == "one\ntwo\n"


def test_nowhere_is_no_error() -> None:
    line = LiveLine(None)
    line.show("one")
    line.say("two")
    line.end()
    assert not line.is_live
