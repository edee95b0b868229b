"""Logging of a replica's process: one line per record on standard error, time in UTC, level, who."""

from __future__ import annotations

import logging
import time


def log_to_stderr(level: str, who: str) -> None:
    """Send records of this level and above to standard error.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        who: Put in each line: ``replica 0``.
    """
    formatter = logging.Formatter(f"%(asctime)s.%(msecs)03dZ %(levelname)s {who}: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.raiseExceptions = False  # a reader of the log that went away must not end a replica
