"""Who is in a cluster and where: cluster TOML (written by an operator), ready file (JSON, written by ``triskele up``), address lists.

All three are read into ``ClusterFile``; what a form does not tell stays empty.  Ids are the identity of a replica, addresses may change.
Every wrong or missing item is named with its file.  Both writers replace the file in one step, so that a reader never sees half of it.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args

import attrs

from replica.address import AddressError, inherited_descriptor, is_loopback, join_address, split_address
from replica.config import SETTINGS, Durability, Mode, SettingError, Settings, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REPLICAS_MAX = 16
"""As many as a cluster can have members, the one included that takes the place of another."""
REPLICA_ID_MAX = 65_535
_CLUSTER_KEYS = frozenset({"cluster_id", "mode", "durability", "replica", "replicas", "leader"})
_REPLICA_KEYS = frozenset({"id", "address", "websocket", "admin", "data_dir", "pid"})


@attrs.frozen(kw_only=True)
class ReplicaPlace:
    """One replica of a cluster.

    Attributes:
        id: Its identity, 0 to 65535.
        address: Native protocol, ``HOST:PORT``, or empty if not known.
        websocket: ``ws://HOST:PORT``, or empty.
        admin: ``http://HOST:PORT``, or empty.
        data_dir: Its folder, or empty.
        pid: Its process on this machine, None if it has none that is known (it died, or is elsewhere).
        joins: It is new, and joins a running cluster; never in a file.
    """

    id: int
    address: str = ""
    websocket: str = ""
    admin: str = ""
    data_dir: str = ""
    pid: int | None = None
    joins: bool = False


@attrs.frozen(kw_only=True)
class ClusterFile:
    """A cluster's replicas in the order of their ids.

    Attributes:
        replicas: At least one; ids and addresses are unique.
        cluster_id: Told in every handshake, or empty if not known (address list).
        mode: The cluster's mode, or empty if not known.
        durability: The cluster's durability, or empty if not known.
        leader: Id of the replica that leads, None if not known.
    """

    replicas: tuple[ReplicaPlace, ...]
    cluster_id: str = ""
    mode: Mode | None = None
    durability: Durability | None = None
    leader: int | None = None

    def replica(self, replica_id: int) -> ReplicaPlace:
        """Returns the replica with this id.

        Raises:
            SettingError: The cluster has none.
        """
        for place in self.replicas:
            if place.id == replica_id:
                return place
        ids = ", ".join(str(place.id) for place in self.replicas)
        raise SettingError("--id", replica_id, f"the cluster has replicas {ids}")

    def with_replica(self, replica_id: int, *, joins: bool = False, data_dir: Path | None = None) -> ClusterFile:
        """Returns the cluster with what a replica's command line says of it.

        Args:
            replica_id: Which replica; one that joins need not stand in the file.
            joins: It is new.
            data_dir: Its folder, None for what the file says, or ``replica-N`` for one that joins and of which it says nothing.
        """
        known = next((place for place in self.replicas if place.id == replica_id), None)
        if known is None and not joins:
            return self
        place = attrs.evolve(known or ReplicaPlace(id=replica_id), joins=joins)
        if data_dir is not None or (joins and not place.data_dir):
            place = attrs.evolve(place, data_dir=str(data_dir or f"replica-{replica_id}"))
        others = [other for other in self.replicas if other.id != replica_id]
        return attrs.evolve(self, replicas=tuple(sorted([*others, place], key=lambda place: place.id)))

    def addresses(self, transport: str = "native") -> list[str]:
        """Returns where clients connect, in the order of ids.

        Args:
            transport: ``native`` or ``websocket``.
        """
        found = [place.websocket if transport == "websocket" else place.address for place in self.replicas]
        return [address for address in found if address]


def settings_for(settings: Settings, cluster: ClusterFile, replica_id: int) -> Settings:
    """Joins a replica's settings with its cluster file: mode and durability must agree, empty addresses are filled in.

    Raises:
        SettingError: A setting contradicts the file, the cluster has no such replica, an address is missing, or one is not loopback and
            ``insecure`` is not set.
    """
    place = cluster.replica(replica_id)
    agreed: dict[str, Any] = {}
    for name, told in (("mode", cluster.mode), ("durability", cluster.durability)):
        if told is None or told == getattr(settings, name):
            continue
        if settings.origin(name) != "default":
            raise SettingError(settings.written(name), getattr(settings, name), f"the cluster file says {told}")
        agreed[name] = told
    for name, address in (("listen", place.address), ("websocket", place.websocket), ("admin", place.admin)):
        if not getattr(settings, name):
            if not address:
                raise SettingError(SETTINGS[name].flag, "", f"the cluster file has no such address for replica {replica_id}: give one")
            agreed[name] = join_address(*split_address(address))
    settings = settings.changed("cluster file", **agreed)
    check_exposure(settings)
    _check_distinct(settings)
    return settings


def _check_distinct(settings: Settings) -> None:
    """Refuses two listeners at one address: the port would seem to be another program's.

    Raises:
        SettingError: Two are the same.
    """
    seen: dict[str, str] = {}  # {address: setting that has it}
    for name in ("listen", "websocket", "admin"):
        address = getattr(settings, name)
        if address in seen:
            raise SettingError(settings.written(name), address, f"{settings.written(seen[address])} is the same: give each a port of its own")
        if inherited_descriptor(address) is not None or split_address(address)[1]:
            seen[address] = name


def check_exposure(settings: Settings) -> None:
    """Refuses addresses that other machines reach unless ``insecure`` is set: there is no encryption and no identity yet.

    Raises:
        SettingError: Such an address.
    """
    if settings.insecure:
        return
    for name in ("listen", "websocket", "admin"):
        address = getattr(settings, name)
        if not address or inherited_descriptor(address) is not None or is_loopback(split_address(address)[0]):
            continue
        why = "other machines can reach it and nothing is encrypted yet; bind a loopback address, or say --insecure"
        raise SettingError(settings.written(name), address, why)


# ------------------------------------------------------------------------------------------------------------------------- reading


def parse_cluster(text: str, what: str = "--cluster") -> ClusterFile:
    """Reads what a user gives as a cluster: the path of a ready file or cluster TOML, or ``ADDRESS,ADDRESS,…``.

    An address list has ids in its order; its addresses are native, ``ws://…`` or ``http://…`` (admin), the same kind throughout.

    Args:
        text: As given.
        what: Where it was given, for errors.

    Raises:
        SettingError: Neither a file nor addresses, or the file is wrong.
    """
    if text and _is_file(text):
        return read_cluster_file(Path(text), what)
    if not text or "/" in re.sub(r"(ws|http)://", "", text).replace("/,", ",").removesuffix("/") or ":" not in text:
        raise SettingError(what, text, "no such file (and no address list: ADDRESS,ADDRESS,…)")
    places = []
    for number, item in enumerate(text.split(",")):
        address = item.strip()
        try:
            host_and_port = join_address(*split_address(address))
        except AddressError as error:
            raise SettingError(what, address or text, str(error)) from None
        if address.startswith("ws://"):
            places.append(ReplicaPlace(id=number, websocket=f"ws://{host_and_port}"))
        elif address.startswith("http://"):
            places.append(ReplicaPlace(id=number, admin=f"http://{host_and_port}"))
        else:
            places.append(ReplicaPlace(id=number, address=host_and_port))
    return _checked(ClusterFile(replicas=tuple(places)), what, text)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # too long for a name: a list of addresses
        return False


def read_cluster_file(file: Path, what: str = "--cluster") -> ClusterFile:
    """Reads a ready file (JSON) or a cluster TOML; which one it is shows in its first sign.

    Raises:
        SettingError: The file cannot be read, or an item is wrong; the message names file and item.
    """
    try:
        text = file.read_text(encoding="utf-8")
        if text.lstrip().startswith("{"):
            table = json.loads(text)
        else:
            import tomllib

            table = tomllib.loads(text)
    except OSError as error:
        raise SettingError(what, file, error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:
        raise SettingError(what, file, f"neither JSON nor TOML: {error}") from None
    return _Reader(file, what).cluster(table)


def is_plain(text: str) -> bool:
    """Tells whether a text can name a file and stand in one: escapes in TOML and JSON, and paths that are no UTF-8, make others."""
    return "\0" not in text and text.encode(errors="replace").decode() == text


@attrs.frozen
class _Reader:
    """Checks one file's table item by item."""

    file: Path
    what: str

    def cluster(self, table: Mapping[str, Any]) -> ClusterFile:
        self._only(table, _CLUSTER_KEYS, "")
        rows = table.get("replica", table.get("replicas"))
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise SettingError(self.what, self.file, "needs at least one [[replica]]")
        cluster = ClusterFile(
            replicas=tuple(sorted((self._place(row, number) for number, row in enumerate(rows)), key=lambda place: place.id)),
            cluster_id=self._text(table, "cluster_id", ""),
            mode=self._choice(table, "mode", get_args(Mode)),
            durability=self._choice(table, "durability", get_args(Durability)),
            leader=self._number(table, "leader", "", REPLICA_ID_MAX),
        )
        return _checked(cluster, self.what, str(self.file))

    def _place(self, row: Mapping[str, Any], number: int) -> ReplicaPlace:
        where = f"replica {shown(row.get('id', f'number {number + 1}'))} "
        self._only(row, _REPLICA_KEYS, where)
        replica_id = self._number(row, "id", where, REPLICA_ID_MAX)
        if replica_id is None:
            self._wrong(f"{where}id", "missing")
        return ReplicaPlace(
            id=replica_id,
            address=self._address(row, "address", where, ""),
            websocket=self._address(row, "websocket", where, "ws://"),
            admin=self._address(row, "admin", where, "http://"),
            data_dir=self._text(row, "data_dir", where),
            pid=self._number(row, "pid", where, 1 << 31),
        )

    def _address(self, row: Mapping[str, Any], key: str, where: str, scheme: str) -> str:
        text = self._text(row, key, where)
        if not text:
            return ""
        try:
            return scheme + join_address(*split_address(text))
        except AddressError as error:
            self._wrong(f"{where}{key} {text}", str(error))

    def _text(self, row: Mapping[str, Any], key: str, where: str) -> str:
        value = row.get(key, "")
        if not isinstance(value, str):
            self._wrong(f"{where}{key} {shown(value)}", "must be text")
        if not is_plain(value):
            self._wrong(f"{where}{key}", "must be text without zero bytes and halves of letters")
        return value

    def _number(self, row: Mapping[str, Any], key: str, where: str, most: int) -> int | None:
        value = row.get(key)
        if value is not None and (type(value) is not int or not 0 <= value <= most):
            self._wrong(f"{where}{key} {shown(value)}", f"must be a whole number from 0 to {most}")
        return value

    def _choice(self, row: Mapping[str, Any], key: str, choices: Sequence[str]) -> Any:
        value = self._text(row, key, "")
        if not value:
            return None
        SETTINGS[key].check(value, f"{key} in {self.file}")
        assert value in choices
        return value

    def _only(self, row: Mapping[str, Any], known: frozenset[str], where: str) -> None:
        for key in row:
            if key not in known:
                self._wrong(f"{where}{key}", "unknown; known are " + ", ".join(sorted(known)))

    def _wrong(self, item: str, why: str) -> NoReturn:
        raise SettingError(self.what, self.file, f"{item}: {why}")


def _checked(cluster: ClusterFile, what: str, given: str) -> ClusterFile:
    """Checks what only the whole cluster shows."""
    if len(cluster.replicas) > REPLICAS_MAX:
        raise SettingError(what, given, f"{len(cluster.replicas)} replicas: at most {REPLICAS_MAX}")
    for kind in ("id", "address", "websocket", "admin"):
        seen = set()
        for place in cluster.replicas:
            value = getattr(place, kind)
            if value != "" and value in seen:
                raise SettingError(what, given, f"{kind} {value}: given twice")
            seen.add(value)
    used: dict[str, str] = {}  # {HOST:PORT: what has it}
    for place in cluster.replicas:
        for kind in ("address", "websocket", "admin"):
            where = getattr(place, kind).rpartition("/")[2]
            if where in used:
                raise SettingError(what, given, f"replica {place.id} {kind} {where}: {used[where]} too; each needs a port of its own")
            if where and not where.endswith(":0"):
                used[where] = f"{kind} of replica {place.id}"
    return cluster


# ------------------------------------------------------------------------------------------------------------------------- writing


def _quoted(text: str) -> str:
    """Return a text as TOML has it: as JSON, but for letters beyond 16 bits, of which JSON would make two halves, and for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def write_cluster_file(cluster: ClusterFile, file: Path) -> None:
    """Writes the cluster TOML that ``triskele replica --cluster`` reads."""
    lines = [f"{key} = {_quoted(getattr(cluster, key))}" for key in ("cluster_id", "mode", "durability") if getattr(cluster, key)]
    for place in cluster.replicas:
        lines += ["", "[[replica]]", f"id = {place.id}"]
        lines += [f"{key} = {_quoted(getattr(place, key))}" for key in ("address", "websocket", "admin", "data_dir") if getattr(place, key)]
    _replace(file, "\n".join(lines) + "\n")


def write_ready_file(cluster: ClusterFile, file: Path) -> None:
    """Writes the ready file (JSON): the replicas with their processes, and who leads."""
    table = {
        "cluster_id": cluster.cluster_id,
        "mode": cluster.mode,
        "durability": cluster.durability,
        "replicas": [attrs.asdict(place, filter=attrs.filters.exclude("joins")) for place in cluster.replicas],
        "leader": cluster.leader,
    }
    table = {key: value for key, value in table.items() if value or key in ("replicas", "leader")}
    _replace(file, json.dumps(table, indent=1) + "\n")


def _replace(file: Path, text: str) -> None:
    """Replaces a file in one step and durably: whatever happens there is the old one or the new one, whole.

    Raises:
        OSError: The folder cannot be written.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(file)
        _sync_folder(file.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
