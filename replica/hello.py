"""The first payload of each side of a link: who speaks, of which cluster, in which mode; and who may speak to whom.

A hello is the CBOR array ``["triskele", version, cluster_id, mode, role, id, incarnation, config, voters]``; the dialing side sends its own first.
Who does not like what it reads answers ``["refused", reason, detail]`` and closes the link.  Only the first two items are the same in every
version of the protocol, so they are judged before the rest is looked at.

A client may leave cluster and mode empty: it takes the cluster it finds, and learns both, and the voters, from the replica's hello.  Replicas
may not: two clusters that talk to each other by a wrong address would mix their votes.
"""

from __future__ import annotations

import re
from typing import Any

import attrs
import cbor2

from replica.wire_cbor import INT_MAX, WireError, parse

MAGIC = "triskele"
PROTOCOL_VERSION = 3
"""Raised when what a section means changes; replicas and clients of different versions refuse each other."""

ROLES = ("replica", "client")
TEXT_CHARACTERS_MAX = 256
VOTERS_MAX = 64

_REFUSED = "refused"
_REASON = re.compile(r"[a-z][a-z_]{0,39}")
_ITEMS_MAX = 128


class HelloError(Exception):
    """The other side of a link may not stay there.

    Attributes:
        reason: one machine word: ``malformed_hello``, ``wrong_magic``, ``wrong_version``, ``wrong_cluster``, ``wrong_mode``, ``wrong_role``,
            ``wrong_voters``, ``unknown_replica``, ``removed``; or the word with which the other side refused us.
        detail: for a person: what was expected and what came.
        told: the other side refused us, not we it.
    """

    def __init__(self, reason: str, detail: str, *, told: bool = False) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.told = told


@attrs.frozen(kw_only=True)
class Hello:
    """Who one side of a link is.

    Attributes:
        cluster_id: name of the cluster; empty from a client that takes any.
        mode: how the cluster runs (``ho``, ``ht``, ``curp``, ``paxos``); empty from a client that takes any.
        role: ``replica`` or ``client``.
        id: a replica's id; 0 from clients.
        incarnation: of a replica's process; 0 from clients.
        config: number of the configuration that the replica knows; 0 from clients.
        voters: ids of the replicas that vote in that configuration; empty from clients.
    """

    cluster_id: str
    mode: str
    role: str
    id: int
    incarnation: int
    config: int
    voters: tuple[int, ...]


def encode_hello(hello: Hello) -> bytes:
    """Encode our own first payload."""
    return cbor2.dumps([MAGIC, PROTOCOL_VERSION, *attrs.astuple(hello, recurse=False)])


def encode_refusal(reason: str, detail: str) -> bytes:
    """Encode the last payload of a link that we refuse."""
    return cbor2.dumps([_REFUSED, reason, detail[:TEXT_CHARACTERS_MAX]])


def decode_hello(payload: bytes) -> Hello:
    """Decode the other side's first payload.

    Raises:
        HelloError: it is no hello, of another version of the protocol, or a refusal (``told``). Never anything else, whatever the bytes.
    """
    try:
        items = parse(payload, _ITEMS_MAX)
    except WireError as error:
        raise HelloError("malformed_hello", error.detail) from None
    if type(items) is not list or not items or type(items[0]) is not str or items[0] not in {MAGIC, _REFUSED}:
        raise HelloError("wrong_magic", f"the first payload does not start with {MAGIC!r}: not a Triskele")
    if items[0] == _REFUSED:
        raise _refusal(items[1:])
    version = items[1] if len(items) > 1 else None
    if type(version) is not int:
        raise HelloError("malformed_hello", "no protocol version")
    if version != PROTOCOL_VERSION:
        raise HelloError("wrong_version", f"protocol version {version}; here it is {PROTOCOL_VERSION}")
    match items[2:]:
        case [str() as cluster_id, str() as mode, str() as role, id_, incarnation, config, list() as voters]:
            texts, numbers = (cluster_id, mode, role), (id_, incarnation, config, *voters)
            if max(map(len, texts)) > TEXT_CHARACTERS_MAX or len(voters) > VOTERS_MAX or not all(map(_is_number, numbers)):
                raise HelloError("malformed_hello", "a field is out of range")
            return Hello(
                cluster_id=cluster_id, mode=mode, role=role, id=id_, incarnation=incarnation, config=config, voters=tuple(voters)
            )  # fmt: skip
        case _:
            raise HelloError("malformed_hello", "fields are missing or of a wrong type")


def refusal_in(payload: bytes) -> HelloError | None:
    """Return what a payload tells if it refuses us, else None: both sides send their hello at once, so a link may be up here when the other side has
    judged ours."""
    try:
        decode_hello(payload)
    except HelloError as error:
        return error if error.told else None
    return None


def _is_number(item: Any) -> bool:
    return type(item) is int and 0 <= item <= INT_MAX


def _refusal(items: list[Any]) -> HelloError:
    match items:
        case [str() as reason, str() as detail] if _REASON.fullmatch(reason):
            return HelloError(reason, detail[:TEXT_CHARACTERS_MAX], told=True)
        case _:
            return HelloError("malformed_hello", "a refusal without a reason")


def judge(own: Hello, theirs: Hello) -> None:
    """Require that two sides may speak to each other; both ask, each with its own hello first.

    Raises:
        HelloError: they may not; the detail names both values.
    """
    if theirs.role not in ROLES or (own.role, theirs.role) == ("client", "client"):
        raise HelloError("wrong_role", f"a {theirs.role[:20]!r} where a {'replica' if own.role == 'client' else 'replica or a client'} must be")
    for reason, what, ours, given in (
        ("wrong_cluster", "cluster", own.cluster_id, theirs.cluster_id),
        ("wrong_mode", "mode", own.mode, theirs.mode),
    ):
        any_will_do = (own.role == "client" and not ours) or (theirs.role == "client" and not given)
        if ours != given and not any_will_do:
            raise HelloError(reason, f"{what} {given!r}; here it is {ours!r}")
    both = own.role == theirs.role == "replica"
    if both and own.config == theirs.config == 1 and set(own.voters) != set(theirs.voters):  # later configurations may be cut off again
        raise HelloError("wrong_voters", f"voters {theirs.voters}; here they are {own.voters}")
