"""Errors of the transport, sorted by who erred: we ourselves, the other side, or the world between.

The three branches follow trio (Busy / Closed / Broken) and h11 (Local / RemoteProtocolError): a caller catches ``TransportError`` to end one
connection, and never sees a bug of ours swallowed with it, because ``LocalMisuse`` is not a ``TransportError``.
"""

from __future__ import annotations


class LocalMisuse(Exception):
    """This program used the transport wrongly (a frame over the limit, an unreadable address). A bug or a bad setting: never swallowed."""


class BadAddress(LocalMisuse):
    """An address that is not ``host:port``, ``ws://host:port/`` or ``memory:name``."""


class EndedEarly(Exception):
    """A task that must live as long as its process has ended, or all were cancelled, and nobody asked for it: a bug, which ends the process."""


class TransportError(Exception):
    """A connection could not be made or kept; it ends that connection and nothing else.

    Attributes:
        reason: short machine-readable name (``bad_preamble``, ``closed_by_peer``); it labels the counter of closed links and the log line.
    """

    reason: str = "transport_error"

    def __init__(self, reason: str | None = None, detail: str = "") -> None:
        """Name the reason; the detail is for people."""
        if reason is not None:
            self.reason = reason
        super().__init__(f"{self.reason}: {detail}" if detail else self.reason)


class LinkClosed(TransportError):
    """The world broke: the link is gone, by a reset, an end of file, or because somebody here closed it."""

    reason = "closed"


class DialFailed(TransportError):
    """Nobody could be reached at the address (refused, unreachable, name unknown, too slow)."""

    reason = "dial_failed"


class AddressInUse(TransportError):
    """The address to listen on belongs to somebody else."""

    reason = "address_in_use"

    def __init__(self, address: str) -> None:
        """Name the address that is taken."""
        self.address = address
        super().__init__(detail=f"address {address} is in use by another program")


class RemoteMisbehaviour(TransportError):
    """The other side broke the rules; its link is closed with the reason."""

    reason = "misbehaviour"


class HandshakeRefused(RemoteMisbehaviour):
    """A judge does not want the other side (wrong cluster, wrong version); raised by the judge with a short reason."""

    reason = "handshake_refused"

    def __init__(self, why: str, detail: str = "", *, told: bool = False, expected: bool = False, final: bool = False) -> None:
        """Keep the judge's word, with which the link closes (``handshake_refused:<why>``), and its explanation for the other side.

        Args:
            why: one word.
            detail: for a person.
            told: the other side refused us, not we it.
            expected: part of a normal day, and no reason for a warning.
            final: likewise; and the other side will never be wanted: it is not dialed again.
        """
        self.why = why
        self.explanation = detail
        self.told = told
        self.expected = expected or final
        self.final = final
        super().__init__(f"handshake_refused:{why}")


def words(error: OSError) -> str:
    """The system's words for an error."""
    return error.strerror or type(error).__name__
