"""Logging of a replica's process: one line per record on standard error, time in UTC, level, who. It never waits for its reader."""

from __future__ import annotations

import logging
import time

from triskele.lines import Lines


class LineStream(logging.Handler):
    """Hands formatted records to ``Lines``."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; one that cannot be formatted is a bug of ours and is told as any other."""
        try:
            line = self.format(record)
        except (TypeError, ValueError):
            self.handleError(record)
            return
        self._lines(line)


def log_to_stderr(level: str, who: str) -> None:
    """Send records of this level and above to standard error.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        who: Put in each line: ``replica 0``.
    """
    formatter = logging.Formatter(f"%(asctime)s.%(msecs)03dZ %(levelname)s {who}: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = LineStream(Lines())
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
