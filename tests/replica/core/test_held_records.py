from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replica.core import held_records
from replica.core.held_records import as_record, join_records
from replica.core.journal import Committed, Durable, JournalRecord
from replica.core.messages import Record
from replica.core.witness import Run

runs = st.tuples(st.integers(1, 3), st.integers(1, 3), st.binary(max_size=20))  # (session, commands, value)
scripts = st.lists(st.one_of(runs, st.just(None)), max_size=20)


def told(script: list[tuple[int, int, bytes] | None]) -> list[JournalRecord]:
    """Tell what a witness takes, run by run; None: something else comes between."""
    numbers = dict.fromkeys(range(1, 4), 0)
    records: list[JournalRecord] = []
    for step in script:
        if step is None:
            records.append(Committed(1))
            continue
        session, count, value = step
        first = numbers[session] + 1
        numbers[session] += count
        keys = [b"%d-%d" % (session, number) for number in range(first, first + count)]
        records.append(as_record(session, Run(first, first + count - 1, bytes(count), keys, [value] * count, first)))
    return records


def chains(records: list[JournalRecord]) -> object:
    durable = Durable()
    durable.replay(records)
    return {
        session: [(run.first, run.last, run.kinds, run.keys, run.values, run.incomplete) for run in held.runs]
        for session, held in durable.chains.items()
    }


@given(scripts)
def test_what_is_joined_tells_the_same_chains(script: list[tuple[int, int, bytes] | None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_records, "JOINED_BYTES_MAX", 30)
        records = told(script)
        joined = join_records(records)
    assert chains(joined) == chains(records)
    assert [record for record in joined if not isinstance(record, Record)] == [record for record in records if not isinstance(record, Record)]


def test_runs_that_come_together_are_one_record_and_others_stay_apart() -> None:
    records = told([(1, 2, b"a"), (2, 1, b"b"), None, (1, 1, b"c")])
    joined = join_records(records)
    assert joined == [
        Record([1, 2], [1, 1], [2, 1], [0, 0], [1, 1], bytes(3), [b"1-1", b"1-2", b"2-1"], [b"a", b"a", b"b"]), Committed(1), records[-1]
    ]  # fmt: skip
    assert joined[-1] is records[-1], "one that is alone is left as it is"


def test_a_joined_record_has_no_more_values_than_fit_a_segment_made_ahead() -> None:
    value = b"v" * (held_records.JOINED_BYTES_MAX // 2 - 8)  # and a key
    joined = join_records(told([(1, 1, value), (2, 1, value), (3, 1, value), (1, 3, value), (2, 1, b"")]))
    assert [record.sessions for record in joined if isinstance(record, Record)] == [[1, 2], [3], [1], [2]], "one run alone may have more"


def test_long_keys_count_as_values_do() -> None:
    """A checkpoint has all that a witness holds: of keys alone it may be hundreds of megabytes."""
    keys = [b"%04096d" % number for number in range(200)]
    joined = join_records([Record([session], [1], [200], [0], [1], bytes([1]) * 200, keys, [None] * 200) for session in range(1, 7)])
    assert [record.sessions for record in joined if isinstance(record, Record)] == [[1], [2], [3], [4], [5], [6]]
