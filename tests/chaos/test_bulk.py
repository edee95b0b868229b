"""The bulk's counts: completions of each second, and what went wrong since the beginning, of all client processes together."""

from __future__ import annotations

from tests.chaos.bulk import Bulk, Counted, Tally


def second(number: int, operations: int, failed: int, unknown: int) -> dict[str, object]:
    return {"second": number, "operations": operations, "failed": failed, "unknown": unknown, "coarse": []}


def test_processes_are_added_up_while_it_runs() -> None:
    tally = Tally(2)
    for told in (second(1, 10, 0, 1), second(1, 20, 2, 0), second(2, 5, 0, 4), second(3, 5, 0, 4), second(2, 5, 2, 0), second(3, 1, 3, 0)):
        tally.second(told)
    assert tally.counted == Counted(46, 3, 4)


def test_in_the_end_counts_what_the_processes_tell() -> None:
    tally = Tally(2)
    tally.second(second(1, 10, 0, 1))
    tally.finish([
        {"operations": 7, "failed": 1, "unknown": 2, "reasons": {"lost": 3}},
        {"operations": 3, "failed": 0, "unknown": 1, "reasons": {"lost": 1}},
    ])  # fmt: skip
    assert tally.counted == Counted(10, 1, 3, {"lost": 4})


def test_a_bulk_is_ordered_by_schedule_over_bounded_keys() -> None:
    settings = Bulk(key_space=500).settings(3.0, rate=100.0, preload=True, seed=1)
    assert (settings.rate, settings.key_space, settings.preloads, settings.seconds) == (100.0, 500, True, 3.0)
