"""What can go wrong with a command, in three words that say what became of it."""

from __future__ import annotations


class TriskeleError(Exception):
    """Something the store could not do."""


class Unknown(TriskeleError):
    """The command was sent and its outcome is not known: it may have taken effect, or may still."""


class Unavailable(TriskeleError):
    """The command took no effect: nobody could be asked in time."""


class Refused(TriskeleError):
    """What was asked for is nothing the store or the library takes, and nothing was sent; the message names the limit, or what there is."""
