"""Whether the others take this replica, and the end of a process that they never will.

What a handshake is refused for is mostly no reason to end: others start, stop, and learn of new members in their own time.  A few reasons are facts
of files, which no waiting changes: another cluster, mode, protocol version or list of founding voters, and a folder that is not the one that the
others know this id with.  Then a process that has just started ends, in one line that says what to do, and takes back the folder that it made.

Who is wrong nobody can tell from one refusal, and a replica that is part of a cluster must not be ended by anybody's word.  So all of this holds:

- Only refusals count that came from where another voter is dialed; whoever dials us may be a stranger.
- A majority must be out of reach for it: the voters that refuse are so many that the others, this replica included, are none.  Of a forgotten
  folder one voter's word is enough where there is nothing to lose: no command is known here.  That voter has met this id with another folder, what
  was promised then is not here, and a majority of such replicas would begin the cluster anew, empty.
- Nothing has shown that a majority takes it: since its start it has neither heard a leader nor learned that anything was committed.  (Not so for
  one voter's word, see above: two wiped replicas take each other.)

Rejected: ending after a while without links (a cluster whose other machines are still down is a normal day), and going by what dialing sides say
when they come (another cluster that has our address by mistake would end us).
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from replica.config import SettingError
from replica.core.quorum import majority
from replica.storage.errors import StateForgotten

if TYPE_CHECKING:
    from collections.abc import Collection

    from replica.core.replica import Replica
    from replica.hello import Hello
    from replica.home_folder import HomeFolder
    from transport.errors import HandshakeRefused

logger = logging.getLogger("triskele.replica")

FORGOTTEN = "forgotten_state"
CONTRADICTIONS = ("wrong_cluster", "wrong_mode", "wrong_version", "wrong_voters")
"""Words of a refusal that tell of different files, or programs."""


class Standing:
    """One replica's standing with the others.

    Args:
        core: the replica.
        home: its folder.
        hello: what it says of itself.
    """

    def __init__(self, core: Replica, home: HomeFolder, hello: Hello) -> None:
        self._core = core
        self._home = home
        self._hello = hello
        self._committed = core.node.commit_index
        self._settled = False
        self._refusals: dict[int, HandshakeRefused] = {}  # {voter: why it refuses us for good, as it said last}
        self._over = False

    def look(self) -> bool:
        """Look whether a majority takes this replica; once it did, that stays true."""
        node, roles = self._core.node, self._core.roles
        self._settled = self._settled or roles.follower.leader_seen_at > -math.inf or node.commit_index > self._committed
        return self._settled

    def on_refused(self, peer: int, refused: HandshakeRefused, linked: Collection[int] = ()) -> None:
        """A handshake with another replica, which this one dialed, ended in a refusal.

        Args:
            peer: which replica.
            refused: the refusal.
            linked: the others that take this replica by now.

        Raises:
            SettingError: this replica contradicts so many that it can never take part.
            StateForgotten: likewise, and it has lost what it had promised.
        """
        if not refused.told or refused.why not in (FORGOTTEN, *CONTRADICTIONS):
            return
        known = self._refusals.get(peer)
        self._refusals = {other: word for other, word in self._refusals.items() if other not in linked} | {peer: refused}
        lost = refused.why == FORGOTTEN and self._knows_nothing()
        if not (lost or (self._is_hopeless() and not self.look())):
            if known is None or known.why != refused.why:
                logger.error("replica %d refuses this replica: %s: %s", peer, refused.why, refused.explanation)
            return
        if self._over:
            return
        self._over = True
        folder = self._home.folder
        if folder is not None and folder.created and not self.look():
            folder.take_back()
        raise self._end(refused)

    def _is_hopeless(self) -> bool:
        """Whether too many refuse this replica for the others to be a majority."""
        told = self._core.node.configuration
        voters = told.voters if told.number else self._hello.voters
        left = sum(voter not in self._refusals for voter in voters)
        return left < majority(len(voters))

    def _knows_nothing(self) -> bool:
        """Whether no command of any client is known here, so that nothing is lost with this replica."""
        node = self._core.node
        empty = node.log.first_index == 1 and not node.store.live and not node.sessions.table
        return empty and not any(entry.kinds for entry in node.log.entries)

    def _end(self, refused: HandshakeRefused) -> Exception:
        """Make the error whose line is the last this process writes."""
        same = sorted(peer for peer, other in self._refusals.items() if other.why == refused.why)
        who = ("replica " if len(same) == 1 else "replicas ") + " and ".join(map(str, same))
        if refused.why == FORGOTTEN:
            folder = self._home.folder
            return StateForgotten(folder.disk.path if folder is not None else "", self._hello.id, f"{who} knew it with another folder")
        what, value = {
            "wrong_cluster": ("cluster_id", self._hello.cluster_id),
            "wrong_mode": ("mode", self._hello.mode),
            "wrong_version": ("protocol version", ""),
            "wrong_voters": ("--cluster", f"with voters {', '.join(map(str, self._hello.voters))}"),
        }[refused.why]
        return SettingError(what, value, f"{who} refused this replica for it: {refused.explanation}")
