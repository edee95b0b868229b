"""One follower as the leader sees it (etcd raft's ``tracker``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from replica.core.catchup import Sending


@attrs.define(eq=False)
class Progress:
    """One follower as the leader sees it (etcd raft's ``tracker``)."""

    match: int = 0
    """Everything up to this index is in its log."""
    next: int = 1
    """The next index to send."""
    round: int = 0
    """The latest round it acknowledged."""
    heard_at: float = 0.0
    """When it last acknowledged anything of this view, seconds."""
    linked: bool = False
    sending: Sending | None = None
    """A snapshot on its way: the kept log does not reach back to what it needs."""
