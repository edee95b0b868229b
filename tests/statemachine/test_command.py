"""Commands: what is refused and why, when a cas succeeds, and that conflicts are exactly the overlaps."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statemachine.command import (
    CAS_VALUE,
    CAS_VERSION,
    CAUSAL,
    DELETE,
    KEY_BYTES_MAX,
    PUT,
    VALUE_BYTES_MAX,
    Footprint,
    InvalidCommand,
    Region,
    check_columns,
    check_command,
    check_key,
    check_query,
    check_value,
    conflicts,
    evaluate_cas,
    footprint_of,
    footprint_of_query,
)

LONG_KEY = bytes(KEY_BYTES_MAX + 1)
LONG_VALUE = bytes(VALUE_BYTES_MAX + 1)

GOOD_COMMANDS: list[tuple[int, object, object]] = [
    (PUT, b"", b""),
    (PUT | CAUSAL, bytes(KEY_BYTES_MAX), bytes(VALUE_BYTES_MAX)),
    (DELETE, b"k", None),
    (DELETE | CAUSAL, b"k", None),
    (CAS_VALUE, b"k", [None, b"new"]),
    (CAS_VALUE, b"k", [b"old", b"new"]),
    (CAS_VERSION, b"k", [0, b"new"]),
    (CAS_VERSION, b"k", [7, b"new"]),
]
BAD_COMMANDS: list[tuple[int, object, object, str]] = [
    (PUT, LONG_KEY, b"v", "key of 4097 bytes is over the limit of 4096 bytes"),
    (PUT, "k", b"v", "key must be bytes, not str"),
    (PUT, b"k", LONG_VALUE, "value of 1048577 bytes is over the limit of 1048576 bytes"),
    (PUT, b"k", None, "value must be bytes, not NoneType"),
    (DELETE, b"k", b"v", "a delete carries no value, not bytes"),
    (CAS_VALUE, b"k", b"v", "a cas carries [expected, new]"),
    (CAS_VALUE, b"k", [b"v"], "a cas carries [expected, new]"),
    (CAS_VALUE, b"k", [None, 1], "new value must be bytes, not int"),
    (CAS_VALUE, b"k", [1, b"v"], "expected value must be bytes, not int"),
    (CAS_VALUE, b"k", [LONG_VALUE, b"v"], "expected value of 1048577 bytes is over the limit of 1048576 bytes"),
    (CAS_VERSION, b"k", [-1, b"v"], "expected version must be a whole number from 0 on"),
    (CAS_VERSION, b"k", [True, b"v"], "expected version must be a whole number from 0 on"),
    (CAS_VERSION, b"k", [b"v", b"v"], "expected version must be a whole number from 0 on"),
    (CAS_VALUE | CAUSAL, b"k", [None, b"v"], "a cas has a result, so it cannot be causal: use strong consistency"),
    (CAS_VERSION | CAUSAL, b"k", [0, b"v"], "a cas has a result, so it cannot be causal: use strong consistency"),
    (4, b"k", None, "unknown kind of command 4"),
    (CAUSAL | 5, b"k", None, "unknown kind of command 133"),
]


def reason_of(check: object, *args: object) -> str:
    assert callable(check)
    with pytest.raises(InvalidCommand) as caught:
        check(*args)
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize(("kind", "key", "item"), GOOD_COMMANDS)
def test_well_formed_commands_pass(kind: int, key: object, item: object) -> None:
    check_command(kind, key, item)
    check_columns(bytes([PUT, kind]), [b"k", key], [b"v", item])


@pytest.mark.parametrize(("kind", "key", "item", "reason"), BAD_COMMANDS)
def test_a_refusal_names_the_limit_and_the_size(kind: int, key: object, item: object, reason: str) -> None:
    assert reason_of(check_command, kind, key, item) == reason


@pytest.mark.parametrize(("kind", "key", "item", "reason"), BAD_COMMANDS)
def test_one_bad_command_refuses_its_batch(kind: int, key: object, item: object, reason: str) -> None:
    assert reason_of(check_columns, bytes([PUT, kind, PUT]), [b"a", key, b"b"], [b"v", item, b"v"]) == reason


def test_columns_of_different_lengths_are_refused() -> None:
    assert reason_of(check_columns, bytes(2), [b"a"], [b"v", b"v"]) == "columns differ in length: 2 kinds, 1 keys, 2 values"
    check_columns(b"", [], [])


def test_a_name_other_than_key_may_be_told() -> None:
    assert reason_of(check_key, LONG_KEY, "prefix") == "prefix of 4097 bytes is over the limit of 4096 bytes"
    assert reason_of(check_value, 1, "document") == "document must be bytes, not int"


@pytest.mark.parametrize("query", [b"k", b"", [b"a", b"b", 1], [b"", None, 10_000], [b"b", b"a", 1]])
def test_well_formed_queries_pass(query: object) -> None:
    check_query(query)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (1, "key must be bytes, not int"),
        (LONG_KEY, "key of 4097 bytes is over the limit of 4096 bytes"),
        ([b"a", b"b"], "a scan is [start, end, limit]"),
        ([None, b"b", 1], "start of a scan must be bytes, not NoneType"),
        ([b"a", LONG_KEY, 1], "end of a scan of 4097 bytes is over the limit of 4096 bytes"),
        ([b"a", None, 0], "limit of a scan must be a whole number from 1 on"),
        ([b"a", None, True], "limit of a scan must be a whole number from 1 on"),
    ],
)
def test_a_bad_query_is_refused_with_its_reason(query: object, reason: str) -> None:
    assert reason_of(check_query, query) == reason


@pytest.mark.parametrize(
    ("kind", "expected", "value", "version", "succeeds"),
    [
        (CAS_VALUE, b"v", b"v", 3, True),
        (CAS_VALUE, b"v", b"w", 3, False),
        (CAS_VALUE, b"", None, 0, False),
        (CAS_VALUE, None, None, 0, True),
        (CAS_VALUE, None, None, 3, True),
        (CAS_VALUE, None, b"", 3, False),
        (CAS_VERSION, 3, b"v", 3, True),
        (CAS_VERSION, 2, b"v", 3, False),
        (CAS_VERSION, 0, b"v", 3, False),
        (CAS_VERSION, 0, None, 0, True),
        (CAS_VERSION, 0, None, 3, True),
        (CAS_VERSION, 3, None, 3, False),
    ],
)
def test_cas_compares_with_what_is_visible(kind: int, expected: object, value: bytes | None, version: int, *, succeeds: bool) -> None:
    """A tombstone is absent: its version shows to nobody."""
    assert evaluate_cas(kind, expected, value, version) is succeeds


# ------------------------------------------------------------------------------------------------------------------------------ conflicts

# Every interval of UNIVERSE's keys that is not empty has its start in UNIVERSE, so overlaps among these keys are all overlaps.
UNIVERSE = [bytes(letters) for length in range(4) for letters in product(b"ab", repeat=length)]
keys = st.sampled_from([key for key in UNIVERSE if len(key) < 3])
intervals = st.tuples(keys, st.none() | keys)
regions = st.builds(Region, st.frozensets(keys, max_size=3), st.lists(intervals, max_size=2).map(tuple))
footprints = st.builds(Footprint, regions, regions)


def members(region: Region) -> set[bytes]:
    return set(region.keys) | {key for key in UNIVERSE for start, end in region.intervals if start <= key and (end is None or key < end)}


@given(footprints, footprints)
def test_conflicts_are_exactly_the_overlaps_with_a_write(a: Footprint, b: Footprint) -> None:
    expected = bool(members(a.writes) & (members(b.writes) | members(b.reads)) or members(a.reads) & members(b.writes))
    assert conflicts(a, b) is expected
    assert conflicts(b, a) is expected


@given(footprints, footprints, footprints)
def test_a_compound_footprint_conflicts_where_a_member_does(a: Footprint, b: Footprint, c: Footprint) -> None:
    assert conflicts(a | b, c) == (conflicts(a, c) or conflicts(b, c))


def test_footprints_of_commands_and_queries() -> None:
    here = Region(frozenset((b"k",)))
    assert footprint_of(PUT, b"k") == footprint_of(DELETE | CAUSAL, b"k") == Footprint(writes=here)
    assert footprint_of(CAS_VALUE, b"k") == footprint_of(CAS_VERSION, b"k") == Footprint(reads=here, writes=here)
    assert footprint_of_query(b"k") == Footprint(reads=here)
    assert footprint_of_query([b"a", b"c", 1]) == Footprint(reads=Region(intervals=((b"a", b"c"),)))


def test_reads_never_conflict_and_scans_meet_writes_anywhere_in_their_interval() -> None:
    scan = footprint_of_query([b"b", b"d", 1])
    assert not conflicts(scan, scan)
    assert not conflicts(scan, footprint_of_query(b"c"))
    assert [key for key in (b"a", b"b", b"c", b"c~", b"d") if conflicts(scan, footprint_of(PUT, key))] == [b"b", b"c", b"c~"]
    assert conflicts(footprint_of_query([b"b", None, 1]), footprint_of(DELETE, b"zzz"))
    assert not conflicts(footprint_of_query([b"d", b"b", 1]), footprint_of(PUT, b"c"))
