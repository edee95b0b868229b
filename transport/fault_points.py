"""Named places in the life of a process where a test may raise: one line each, ``reach("turn.before_send")``.

In production nobody listens: a call that looks at one module variable, about 30 ns, five times in a turn of 100 us and more.  So a place
may stand once in a turn, at the beginning or the end of a link, or in a slow task; never where it would be passed for each command or frame.

``triskele.testing`` listens, and knows by the context of the task whose place it is.  Rejected: patching methods from outside (a renamed method
would silently end the test of what it did), and hooks handed down through constructors (every module would carry them for a few tests).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

listener: Callable[[str], None] | None = None
"""Told every place that is reached; what it raises, the place raises. None in production."""


def reach(name: str) -> None:
    """Tell the listener, if there is one, that the place ``name`` is reached."""
    if listener is not None:
        listener(name)
