"""The data folder as a server uses it: opened or made at start, its content told to the core, its peers' folders remembered.

A replica's *incarnation* is told with every frame.  Its upper half names the data folder, its lower half counts the folder's openings.  A peer that
comes with another folder than before has lost how it voted, and must not vote again under its id.  One with ``memory`` durability and its old folder
knows that, and that it forgot the rest: the core lets it follow in higher views only.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from replica.config import SettingError
from replica.guard import DIVERGED
from replica.persistence import DURABILITY, Persistence, load, recall
from replica.standing import FORGOTTEN
from replica.storage.errors import CorruptFacts, StateDiverged
from replica.storage.folder import FACTS
from replica.surroundings import PROCESS, Surroundings
from transport.errors import HandshakeRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.cluster_file import ClusterFile
    from replica.config import Settings
    from replica.core.config import CoreConfig
    from replica.core.journal import Durable
    from replica.reading import Progress
    from replica.storage.folder import DataFolder
    from replica.storage.log import DurableLog

OPENINGS_BITS = 32
FOLDER_BITS = 31
"""An incarnation is a signed 64-bit number that is not negative."""
PEERS, JOINED, MODE = "peers", "joined", "mode"

AMNESIA = (
    "this replica forgot what it had acknowledged (memory durability): it votes again when the others, without it a majority that forgot nothing, "
    "have committed a view for it; if they are none any more, what was acknowledged is lost, and this cluster cannot serve again"
)

logger = logging.getLogger("triskele.replica")


def judge_facts(path: str, recall: Callable[[str], Any]) -> None:
    """Refuse a folder from which no replica may start, whatever its settings are.

    Args:
        path: the folder's.
        recall: tells a fact by its name, None if there is none.

    Raises:
        CorruptFacts: nothing says what it was made for.
        StateDiverged: its replica found out that its state was not the cluster's.
    """
    if recall(DURABILITY) is None:
        raise CorruptFacts(f"{path}/{FACTS}", 0, "nothing says for which durability the folder was made")
    if diverged := recall(DIVERGED):
        raise StateDiverged(path, diverged)


class HomeFolder:
    """One replica's folder.

    Args:
        settings: of the replica.
        cluster: names the folder.
        replica_id: whose it is.
        surroundings: give chance, and open folders and logs.

    Attributes:
        folder: None for a replica of ``memory`` durability without a folder: it can never come back, since it forgets how it voted.
        incarnation: of this start.
        joins: the replica was added to a running cluster: the cluster file does not say who votes.

    Raises:
        SettingError: there must be a folder and none is named.
        StorageError: the folder cannot be used.
    """

    def __init__(self, settings: Settings, cluster: ClusterFile, replica_id: int, surroundings: Surroundings = PROCESS) -> None:
        place = cluster.replica(replica_id)
        self.joins = place.joins
        self._surroundings = surroundings
        self.durable = settings.durability == "disk"
        self.folder: DataFolder | None = None
        self.incarnation = int.from_bytes(surroundings.entropy(8)) >> 1 | 1
        self._peers: dict[int, int] = {}  # {peer: the folder it came with}
        self._refused: set[int] = set()  # peers that came with another one
        self._read: tuple[DurableLog, Durable | None] | None = None
        if not place.data_dir:
            if self.durable:
                raise SettingError("--data-dir", "", f"the cluster file names no data_dir for replica {replica_id}: give one")
            return
        given = {DURABILITY: settings.durability, MODE: settings.mode}
        first = {**given, JOINED: True} if place.joins else given
        folder = surroundings.open_folder(place.data_dir, cluster_id=cluster.cluster_id or "unnamed", replica_id=replica_id, facts=first)
        try:
            self._agree(folder, place.data_dir, settings)
        except BaseException:
            folder.close()
            raise
        self._mode = settings.mode
        self.joins = bool(folder.recall(JOINED, default=False))
        self.folder = folder
        self.incarnation = (int(folder.identity.folder_id, 16) & ((1 << FOLDER_BITS) - 1)) << OPENINGS_BITS | folder.identity.incarnation
        self._peers = {int(peer): number for peer, number in folder.recall(PEERS, {}).items()}

    def _agree(self, folder: DataFolder, path: str, settings: Settings) -> None:
        """Require what the folder was made for, and that it may be used at all.

        What one durability keeps another does not look at, the vote included; what one mode acknowledged another would not recover.
        A folder of a version that did not remember the mode is taken as it is, and belongs to this mode from now on.
        """
        judge_facts(path, folder.recall)
        for name in (DURABILITY, MODE):
            value, made_for = getattr(settings, name), folder.recall(name)
            if made_for not in (value, None):
                raise SettingError(settings.written(name), value, f"{path} was made for {made_for}; give that")

    def read(self, tombstone_sessions_max: int, progress: Progress | None = None) -> None:
        """Read what the folder holds, in any thread; ``load`` then has it.

        Args:
            tombstone_sessions_max: see ``CoreConfig``.
            progress: is told how far it is.

        Raises:
            StorageError: it cannot be read.
        """
        if self.folder is None or not self.durable:
            return
        try:
            self._read = load(self.folder, tombstone_sessions_max, self._surroundings.open_log, progress)
        except BaseException:
            self.folder.close()
            raise

    def load(self, config: CoreConfig) -> tuple[Persistence, Durable | None]:
        """Tell what the folder holds, and read it first if nobody has; None from a new one.

        Raises:
            StorageError: it cannot be read.
        """
        if self.folder is None:
            return Persistence(None, None), None
        if not self.durable:
            self._use(self.folder)
            durable = recall(self.folder)
            if durable is not None:
                logger.warning("%s", AMNESIA)
            return Persistence(self.folder, None), durable
        if self._read is None:
            self.read(config.tombstone_sessions_max)
        assert self._read is not None
        (log, durable), self._read = self._read, None
        self._use(self.folder)
        return Persistence(self.folder, log, self._surroundings.in_thread), durable

    def _use(self, folder: DataFolder) -> None:
        """Nothing speaks against this start: let it count, before anything is said to anybody."""
        folder.count_opening()
        folder.remember(MODE, self._mode)

    def judge_peer(self, peer: int, incarnation: int) -> None:
        """Remember which folder a peer has, or refuse one that lost it.

        Raises:
            HandshakeRefused: ``forgotten_state``.
        """
        told = incarnation >> OPENINGS_BITS
        known = self._peers.get(peer)
        if known == told:
            return
        if known is not None:
            why = f"replica {peer} came back without what it had promised and must not vote again under its id: add it under a new one"
            if peer not in self._refused:
                self._refused.add(peer)
                logger.warning("%s (its folder is another one than before)", why)
            raise HandshakeRefused(FORGOTTEN, why)
        self._peers[peer] = told
        if self.folder is not None:
            self.folder.remember(PEERS, {str(number): name for number, name in self._peers.items()})
