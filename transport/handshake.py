"""The first frames of a link: each side says hello, each side judges the other.

The dialing side speaks first; the accepting side judges that hello and answers with its own, or with a refusal and the end.  So a dialing side
whose link came up knows that it is wanted.  What a hello says (protocol version, cluster, mode, who) is the caller's business: here it is bytes
and a judge.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import attrs
import trio

from transport.errors import HandshakeRefused

if TYPE_CHECKING:
    from transport.link import Link


@attrs.frozen
class Identity:
    """Who is at the other end, as the judge found.

    Attributes:
        name: any hashable: a replica's id, a client's name.
        exclusive: at most one live link for this name; a newer one supersedes it (peers). False: any number (clients), and a link whose queue
            is long is not read (back-pressure).
    """

    name: Hashable
    exclusive: bool


Judge = Callable[[bytes], Identity]
"""Reads the other side's hello and says who it is, or raises ``HandshakeRefused(why)``. Anything else it raises is a bug and ends the process."""


class Connection:
    """One link of a mesh, from its first byte to its end.

    Args:
        hello: our first frame.
        judge: reads theirs.
        refusal: makes the last frame of a link we refuse, from the reason and its explanation.
        dialed: we dialed: we speak first, and the other side must be ``expected`` (None: anybody the judge accepts).
        on_up: called in the receiving turn when both sides have agreed; frames that came behind the hello follow after it.

    Attributes:
        link: set by ``begin``.
        identity: None until the handshake is done.
        refused: why the other side is not wanted, if it is not.
        settled: set when the handshake is done or the link is closed.
        dialed: we dialed.
        nameless: we dialed, and anybody might have answered.
        yields_to: the older link to the same identity that makes this one needless; None: nothing does.
    """

    __slots__ = ("_expected", "_hello", "_judge", "_on_up", "_refusal", "dialed", "identity", "link", "refused", "settled", "told_down", "yields_to")

    def __init__(
        self,
        hello: bytes,
        judge: Judge,
        refusal: Callable[[str, str], bytes] | None,
        on_up: Callable[[Connection], None],
        *,
        dialed: bool,
        expected: Identity | None = None,
    ) -> None:
        """Wait for ``begin``."""
        self._hello = hello
        self._judge = judge
        self._refusal = refusal
        self._on_up = on_up
        self.dialed = dialed
        self._expected = expected
        self.link: Link | None = None
        self.identity: Identity | None = None
        self.refused: HandshakeRefused | None = None
        self.settled = trio.Event()
        self.told_down = False
        self.yields_to: Link | None = None

    @property
    def nameless(self) -> bool:
        """Whether we dialed without knowing who would answer."""
        return self.dialed and self._expected is None

    def begin(self, link: Link) -> None:
        """Take over a new link; speak if we dialed."""
        self.link = link
        if self.dialed:
            link.send((self._hello,))
            link.flush()

    def on_closed(self, link: Link, reason: str) -> None:  # noqa: ARG002
        """Note the end; the connection's own task acts on it."""
        self.settled.set()

    def on_frames(self, link: Link, frames: list[bytes]) -> None:
        """Take the first frames of the link: judge the hello, then hand over."""
        try:
            identity = self._judge(frames[0])
            if self._expected is not None and identity != self._expected:
                raise HandshakeRefused("unexpected_identity")  # noqa: TRY301 - refused as by the judge
        except HandshakeRefused as refused:
            self.refused = refused
            if self._refusal is not None and not refused.told:
                link.send((self._refusal(refused.why, refused.explanation),))
            link.close(refused.reason)
            return
        if not self.dialed:
            link.send((self._hello,))
            link.flush()
            if link.close_reason is not None:
                return
        self.identity = identity
        self.settled.set()
        self._on_up(self)
        if len(frames) > 1 and link.close_reason is None:
            link.on_frames(link, frames[1:])
