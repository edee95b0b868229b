"""Who does not belong on a link is told why, by name; whoever belongs gets in."""

from __future__ import annotations

from typing import Any

import attrs
import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replica.hello import MAGIC, PROTOCOL_VERSION, Hello, HelloError, decode_hello, encode_hello, encode_refusal, judge, refusal_in

REPLICA = Hello(cluster_id="c1", mode="ho", role="replica", id=1, incarnation=77, config=1, voters=(0, 1, 2))
PEER = attrs.evolve(REPLICA, id=2, incarnation=78)
CLIENT = Hello(cluster_id="", mode="", role="client", id=0, incarnation=0, config=0, voters=())
ITEMS = [MAGIC, PROTOCOL_VERSION, "c1", "ho", "replica", 1, 77, 1, [0, 1, 2]]


def refusal(judged: Any, *arguments: Any) -> HelloError:
    with pytest.raises(HelloError) as caught:
        judged(*arguments)
    return caught.value


def reason(items: Any) -> str:
    error = refusal(decode_hello, cbor2.dumps(items))
    assert not error.told
    return error.reason


# --------------------------------------------------------------------------------------------------------------------------- the bytes


@pytest.mark.parametrize("hello", [REPLICA, CLIENT], ids=["replica", "client"])
def test_a_hello_comes_out_as_it_went_in(hello: Hello) -> None:
    assert decode_hello(encode_hello(hello)) == hello


def test_a_hello_is_a_plain_array_that_starts_with_name_and_version() -> None:
    assert cbor2.loads(encode_hello(REPLICA)) == ITEMS
    assert decode_hello(cbor2.dumps(ITEMS)) == REPLICA


@pytest.mark.parametrize("items", [None, 7, "triskele", [], [None], ["other", 1], [7], [[]], [b"triskele", 1]], ids=repr)
def test_another_protocol_has_the_wrong_magic(items: Any) -> None:
    assert reason(items) == "wrong_magic"


@pytest.mark.parametrize("behind", [[], [1, 2, 3], [{"a": 1}][1:], ["c1", "ho", "replica"]], ids=repr)
@pytest.mark.parametrize("version", [0, PROTOCOL_VERSION + 1, 2**40])
def test_another_version_is_named_whatever_else_it_says(version: int, behind: list[Any]) -> None:
    error = refusal(decode_hello, cbor2.dumps([MAGIC, version, *behind]))
    assert error.reason == "wrong_version"
    assert str(version) in error.detail
    assert str(PROTOCOL_VERSION) in error.detail


@pytest.mark.parametrize("place", range(1, len(ITEMS)))
@pytest.mark.parametrize("wrong", [None, True, 1.5, -1, 2**63, b"bytes", {}], ids=repr)
def test_every_field_has_its_type_and_range(place: int, wrong: Any) -> None:
    if not (place == 1 and type(wrong) is int):  # which is a version, only not ours
        assert reason([*ITEMS[:place], wrong, *ITEMS[place + 1 :]]) == "malformed_hello"


@pytest.mark.parametrize(
    "items",
    [
        ITEMS[:-1],
        [*ITEMS, 0],
        [MAGIC],
        [*ITEMS[:-1], [0, "1"]],
        [*ITEMS[:-1], [0, -1]],
        [*ITEMS[:-1], list(range(65))],
        [*ITEMS[:2], "c" * 257, *ITEMS[3:]],
        [*ITEMS[:4], "r" * 257, *ITEMS[5:]],
    ],
    ids=lambda items: repr(items)[:60],
)
def test_fields_are_as_many_and_as_long_as_they_may_be(items: list[Any]) -> None:
    assert reason(items) == "malformed_hello"


@given(st.binary(max_size=100))
def test_any_bytes_are_a_hello_or_refused(payload: bytes) -> None:
    for prefix in (b"", b"\x89\x68triskele\x01", b"\x83\x67refused"):
        try:
            decode_hello(prefix + payload)
        except HelloError as error:
            assert error.reason  # noqa: PT017 - either way is fine, no other exception is


def test_the_other_side_s_refusal_says_that_we_were_told() -> None:
    error = refusal(decode_hello, encode_refusal("wrong_mode", "mode 'ht'; here it is 'ho'"))
    assert (error.reason, error.detail, error.told) == ("wrong_mode", "mode 'ht'; here it is 'ho'", True)
    assert str(error) == "wrong_mode: mode 'ht'; here it is 'ho'"
    assert len(refusal(decode_hello, encode_refusal("wrong_mode", "x" * 5000)).detail) == 256
    assert str(refusal(decode_hello, encode_refusal("busy", ""))) == "busy"


def test_a_refusal_is_told_from_anything_else() -> None:
    error = refusal_in(encode_refusal("removed", "stop it"))
    assert error is not None
    assert (error.reason, error.detail) == ("removed", "stop it")
    assert [refusal_in(payload) for payload in (b"", b"\xff", encode_hello(REPLICA), cbor2.dumps([0]))] == [None] * 4


@pytest.mark.parametrize(
    "items", [[], ["Wrong Mode", ""], ["wrong_mode"], ["wrong_mode", "", ""], ["x" * 41, ""], ["", ""], [7, ""], ["busy", b""]], ids=repr
)
def test_a_refusal_has_a_word_for_its_reason(items: list[Any]) -> None:
    """The reason goes into our log and counters: it is somebody else's text."""
    assert reason(["refused", *items]) == "malformed_hello"


# ------------------------------------------------------------------------------------------------------------------------ who may talk


@pytest.mark.parametrize(
    ("own", "theirs"),
    [(REPLICA, PEER), (PEER, REPLICA), (REPLICA, CLIENT), (CLIENT, REPLICA)],
    ids=["peer", "peer back", "client", "client back"],
)
def test_members_of_a_cluster_and_its_clients_may_talk(own: Hello, theirs: Hello) -> None:
    judge(own, theirs)


def test_a_client_may_name_cluster_and_mode() -> None:
    named = attrs.evolve(CLIENT, cluster_id="c1", mode="ho")
    judge(REPLICA, named)
    judge(named, REPLICA)


@pytest.mark.parametrize(
    ("own", "theirs", "why"),
    [
        (REPLICA, attrs.evolve(PEER, cluster_id="c2"), "wrong_cluster"),
        (REPLICA, attrs.evolve(PEER, cluster_id=""), "wrong_cluster"),
        (attrs.evolve(REPLICA, cluster_id=""), PEER, "wrong_cluster"),
        (REPLICA, attrs.evolve(CLIENT, cluster_id="c2"), "wrong_cluster"),
        (attrs.evolve(CLIENT, cluster_id="c2"), REPLICA, "wrong_cluster"),
        (CLIENT, attrs.evolve(REPLICA, cluster_id=""), None),
        (attrs.evolve(CLIENT, cluster_id="c1"), attrs.evolve(REPLICA, cluster_id=""), "wrong_cluster"),
        (REPLICA, attrs.evolve(PEER, mode="ht"), "wrong_mode"),
        (REPLICA, attrs.evolve(PEER, mode=""), "wrong_mode"),
        (REPLICA, attrs.evolve(CLIENT, mode="paxos"), "wrong_mode"),
        (attrs.evolve(CLIENT, mode="paxos"), REPLICA, "wrong_mode"),
        (CLIENT, CLIENT, "wrong_role"),
        (REPLICA, attrs.evolve(PEER, role="admin"), "wrong_role"),
        (CLIENT, attrs.evolve(PEER, role=""), "wrong_role"),
        (REPLICA, attrs.evolve(PEER, id=3), None),
        (CLIENT, attrs.evolve(REPLICA, id=9), None),
        (REPLICA, attrs.evolve(PEER, voters=(0, 1)), "wrong_voters"),
        (REPLICA, attrs.evolve(PEER, voters=(2, 1, 0)), None),
        (attrs.evolve(REPLICA, config=2), attrs.evolve(PEER, config=2, voters=(0, 1)), None),
        (REPLICA, attrs.evolve(PEER, config=2, voters=(0, 1, 2, 3)), None),
    ],
)
def test_who_may_not_talk_is_named(own: Hello, theirs: Hello, why: str | None) -> None:
    if why is None:
        judge(own, theirs)
    else:
        assert refusal(judge, own, theirs).reason == why


def test_a_mismatch_names_both_sides() -> None:
    assert refusal(judge, REPLICA, attrs.evolve(PEER, mode="ht")).detail == "mode 'ht'; here it is 'ho'"
