"""A line that is rewritten on a terminal, and lines one below the other elsewhere."""

from __future__ import annotations

from shutil import get_terminal_size
from typing import IO, Final

_CLEAR: Final = "\r\x1b[K"


class LiveLine:
    """Writes to a stream; None: nowhere."""

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream
        self.is_live = stream is not None and stream.isatty()

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self._write(f"{_CLEAR if self.is_live else ''}{line}\n")

    def show(self, line: str) -> None:
        """Write a line that the next one replaces on a terminal: what does not fit is cut, for a wrapped line could not be replaced."""
        self._write(f"{_CLEAR}{line[: get_terminal_size().columns - 1]}" if self.is_live else f"{line}\n")

    def end(self) -> None:
        """Leave the line empty."""
        if self.is_live:
            self._write(_CLEAR)

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()
