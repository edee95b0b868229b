"""What the load generator needs of a client: the seam between it and ``replica.client_driver``.

The runner is tested against a client that answers everything itself; these protocols are what both it and the real one keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from replica.core.messages import Query, Value


class LoadSession(Protocol):
    """One session: ``replica.core.session.Session`` as the load generator sees it."""

    @property
    def id(self) -> int:
        """The session's id, 0 until it is open."""

    @property
    def lost(self) -> str:
        """Why the store ended it, empty while it has not."""

    def record(self, kinds: bytes, keys: list[bytes], values: list[Value], handle: object, now: float) -> int:
        """Submit logged commands, all strong or all causal."""

    def strong_read(self, queries: list[Query], handle: object, now: float) -> None:
        """Submit strong reads."""

    def causal_read(self, queries: list[Query], handle: object, now: float) -> None:
        """Submit causal reads."""


class LoadClient(Protocol):
    """``replica.core.client.Client`` as the load generator sees it."""

    def open_session(self, token: bytes, handle: object) -> LoadSession:
        """Begin to open a session; a completion tells when it is open."""


class LoadDriver(Protocol):
    """A client's links. Completions come through the callback that it was opened with; what is submitted inside leaves with the same turn."""

    @property
    def client(self) -> LoadClient:
        """The sans-IO client."""

    def wake(self) -> None:
        """Send what was submitted outside the callback."""


class SessionTap(Protocol):
    """Stands between the runner and its sessions."""

    def __call__(self, session: LoadSession, /) -> LoadSession:
        """Return what the runner uses instead of the session."""
