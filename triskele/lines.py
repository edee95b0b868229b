"""Writes lines for the user without ever waiting for who reads them.

A replica that logs, and a supervisor that passes logs on, run event loops that must not stand still because somebody pages through the output
or stopped a terminal.  So a line is written if the pipe or terminal takes it now, and dropped and counted otherwise; the next line that goes
through says how many are missing.
"""

from __future__ import annotations

import os
import select

PIECE_BYTES = 4096
"""A pipe that is ready takes this many bytes without blocking (PIPE_BUF on Linux)."""


class Lines:
    """Writes to one descriptor.

    Attributes:
        dropped: Lines dropped since the last one that went through.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._cut = False  # the last line went through in part

    def __call__(self, line: str) -> None:
        """Write a line, or drop it; a reader that went away is no error."""
        data = f"{line}\n".encode(errors="replace")
        if self.dropped:
            data = f"({self.dropped} lines dropped: nobody read them)\n".encode() + data
        if self._cut:
            data = b"\n" + data
        for start in range(0, len(data), PIECE_BYTES):
            if not self._write(data[start : start + PIECE_BYTES]):
                self._cut = self._cut or start > 0
                self.dropped += 1
                return
            self._cut = False
        self.dropped = 0

    def _write(self, piece: bytes) -> bool:
        """Write a piece if it can be written now."""
        try:
            if not self._poll.poll(0):
                return False
            os.write(self._descriptor, piece)
        except BlockingIOError:
            return False
        except OSError:  # nobody will ever read it
            return True
        return True
