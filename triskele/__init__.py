"""Triskele: a replicated key-value store. ``triskele.connect`` is the client library; the ``triskele`` command runs and measures clusters.

Names are imported when they are first used, so that the command starts quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triskele.client import CAUSAL, STRONG, Consistency, Pipeline, Refused, Result, Store, TriskeleError, Unavailable, Unknown, connect

__all__ = ["CAUSAL", "STRONG", "Consistency", "Pipeline", "Refused", "Result", "Store", "TriskeleError", "Unavailable", "Unknown", "connect"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from triskele import client

        return getattr(client, name)
    if name == "testing":
        from importlib import import_module

        return import_module("triskele.testing")
    message = f"module 'triskele' has no attribute {name!r}"
    raise AttributeError(message)
