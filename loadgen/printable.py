"""Text of anybody's files on a terminal: what would do something to it, and what no file can hold, is written as Python escapes it."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Return a text whose signs can all be printed.

    Args:
        text: Any.
        keep: Signs that are left as they are.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in keep else sign.encode("unicode_escape").decode("ascii") for sign in text)
