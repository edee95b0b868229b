"""The ``triskele`` command: a table of commands, one module each, no logic in them."""

from __future__ import annotations

from triskele.cli.framework import main

__all__ = ["main"]
