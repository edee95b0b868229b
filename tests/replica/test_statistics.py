from __future__ import annotations

from random import Random

import attrs
import pytest

from replica.core.config import CoreConfig
from replica.core.replica import Replica
from replica.statistics import is_gauge, process_statistics, render_prometheus


@attrs.frozen
class Calls:
    send: int
    receive: int


@attrs.frozen
class Link:
    frames_in: int
    queued_bytes: int
    syscalls: Calls


def test_names_are_joined_on_the_way_down_and_attrs_objects_are_nodes() -> None:
    text = render_prometheus({"link": Link(3, 70, Calls(1, 2))})
    assert text == (
        "# TYPE triskele_link_frames_in_total counter\n"
        "triskele_link_frames_in_total 3\n"
        "# TYPE triskele_link_queued_bytes gauge\n"
        "triskele_link_queued_bytes 70\n"
        "# TYPE triskele_link_syscalls_total counter\n"
        'triskele_link_syscalls_total{kind="send"} 1\n'
        'triskele_link_syscalls_total{kind="receive"} 2\n'
    )


def test_samples_of_one_name_stand_together() -> None:
    text = render_prometheus({"peers": {1: {"frames_in": 5, "view": 2}, 2: {"frames_in": 6, "view": 2}}})
    assert text.splitlines() == [
        "# TYPE triskele_peers_frames_in_total counter",
        'triskele_peers_frames_in_total{peer="1"} 5',
        'triskele_peers_frames_in_total{peer="2"} 6',
        "# TYPE triskele_peers_view gauge",
        'triskele_peers_view{peer="1"} 2',
        'triskele_peers_view{peer="2"} 2',
    ]


def test_labels_stand_on_every_sample_and_are_escaped() -> None:
    text = render_prometheus({"role": 'a"b\\c\nd', "ready": True, "cpu_seconds": 0.5}, labels={"replica": "0"})
    assert text.splitlines()[1::2] == [
        r'triskele_role{replica="0",value="a\"b\\c\nd"} 1',
        'triskele_ready{replica="0"} 1',
        'triskele_cpu_seconds_total{replica="0"} 0.5',
    ]


def test_a_sequence_of_counts_is_a_histogram_by_powers_of_two() -> None:
    assert render_prometheus({"frames_per_send": (1, 2, 0, 4)}).splitlines() == [
        "# TYPE triskele_frames_per_send histogram",
        'triskele_frames_per_send_bucket{le="0"} 1',
        'triskele_frames_per_send_bucket{le="1"} 3',
        'triskele_frames_per_send_bucket{le="3"} 3',
        'triskele_frames_per_send_bucket{le="+Inf"} 7',
        "triskele_frames_per_send_count 7",
    ]


@pytest.mark.parametrize(("value", "text"), [(float("inf"), "+Inf"), (float("nan"), "NaN"), (-1, "-1"), (False, "0"), (1e-7, "1e-07")])
def test_numbers_are_written_as_prometheus_reads_them(value: float, text: str) -> None:
    assert render_prometheus({"turn_seconds_max": value}).split()[-1] == text


def test_what_a_replica_tells_of_its_state_may_fall() -> None:
    """Keys are deleted, witnesses forget what is committed: a counter that fell would look like a restart."""
    status = Replica(CoreConfig(id=0, voters=(0, 1, 2)), None, Random(1).random).status()
    numbers = [name for name, value in status.items() if isinstance(value, int)]
    assert {"keys", "held_commands"} <= set(numbers)
    assert [name for name in numbers if not is_gauge(f"triskele_{name}")] == []


def test_what_is_unknown_is_left_out() -> None:
    assert not render_prometheus({"leader": None, "reasons": {}})


def test_what_is_no_number_is_our_own_bug() -> None:
    with pytest.raises(TypeError, match="triskele_x is bytes: no number"):
        render_prometheus({"x": b""})


def test_the_process_tells_its_time_and_memory() -> None:
    told = process_statistics()
    assert told.cpu_seconds > 0
    assert 1 << 20 < told.rss_bytes <= told.rss_peak_bytes
    assert told.descriptors_open > 0
    assert "triskele_rss_bytes" in render_prometheus(attrs.asdict(told))
