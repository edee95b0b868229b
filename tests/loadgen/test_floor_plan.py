"""From a recording to a plan: ratios are kept, payloads are real ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loadgen.floor_plan import LIMITS, FloorPlan, make_accepts, plan_floors
from loadgen.trace import Trace
from replica.core.messages import Accept, AcceptAck, Record, RecordAck
from replica.wire import assemble, decode, encode, encode_section
from transport.frame import encode as frame


def recorded(frames: dict[int, tuple[int, int]]) -> dict[str, Any]:
    """A client's trace: {replica: (frames sent, frames received)}."""
    record = Record(
        sessions=[1], firsts=[1], counts=[3], previous=[0], incomplete=[1], kinds=b"\0\x80\0", keys=[b"a", b"b", b"c"], values=[b"1", b"2", b"3"]
    )
    ack = encode(7, [RecordAck(config=1, view=1, sessions=[1], held=[3], accepted=[3], refusals=[])])
    trace = Trace()
    trace.count_sent(0, frame([encode(0, [record])]))  # not active yet
    trace.active = True
    for replica, (sent, received) in frames.items():
        for _ in range(sent):
            trace.count_sent(replica, frame(assemble(0, [encode_section(record)])))
        trace.count_received(replica, [ack] * received)
    return json.loads(json.dumps(trace.as_json()))  # type: ignore[no-any-return]


def plan(**changes: Any) -> FloorPlan:
    """Two client processes; 4000 commands of which 600 are logged; replica 1 leads."""
    traces = [recorded({0: (50, 50), 1: (100, 200), 2: (25, 25)})] * 2
    totals = {0: {"frames_out": 100.0 + 150}, 1: {"frames_out": 400.0 + 600}, 2: {"frames_out": 50.0 + 75}}
    settings = {"leader": 1, "operations": 4000, "logged": 600, "commands_in_flight": 120}
    return plan_floors(traces, totals, **(settings | changes))


def test_ratios_are_those_of_the_recording() -> None:
    found = plan()
    assert found.commands_per_group == 20.0  # 4000 commands, 200 frames to the busiest replica
    assert found.request_share == {0: 0.5, 1: 1.0, 2: 0.25}
    assert found.replies == {0: 1.0, 1: 2.0, 2: 1.0}
    assert found.commands_per_reply == 4000 / (100 + 400 + 50)
    assert found.accepts == 1.5  # 600 frames to two followers, 200 client frames
    assert found.acks == {0: 0.5, 2: 0.25}
    assert (found.replicas, found.leader, found.commands_in_flight) == ([0, 1, 2], 1, 120)


def test_a_group_is_never_more_than_what_is_in_flight() -> None:
    assert plan(commands_in_flight=4).commands_per_group == 4.0
    assert plan(operations=10).commands_per_group == 1.0


def test_payloads_are_whole_messages() -> None:
    found = plan()
    requests = [decode(payload, limits=LIMITS)[1] for payload in found.request_payloads[1]]
    assert all(isinstance(messages[0], Record) for messages in requests)
    assert all(isinstance(decode(payload, limits=LIMITS)[1][0], RecordAck) for payload in found.reply_payloads[0])
    assert isinstance(decode(found.ack_payloads[0], limits=LIMITS)[1][0], AcceptAck)


@pytest.mark.parametrize("commands_per_accept", [0.0, 0.5, 2.0, 3.25])
def test_accepts_carry_as_many_commands_as_recorded(commands_per_accept: float) -> None:
    payloads = make_accepts([(0, b"a", b"1"), (0x80, b"b", b"2")], commands_per_accept)
    accepts = [decode(payload, limits=LIMITS)[1][0] for payload in payloads]
    carried = [sum(len(entry.keys) for entry in accept.entries) for accept in accepts if isinstance(accept, Accept)]
    assert len(carried) == len(payloads)
    assert sum(carried) / len(carried) == pytest.approx(commands_per_accept, abs=0.06)


def test_without_recorded_commands_accepts_are_heartbeats() -> None:
    accepts = [decode(payload, limits=LIMITS)[1][0] for payload in make_accepts([], 3.0)]
    assert all(isinstance(accept, Accept) and not accept.entries for accept in accepts)


def test_a_plan_survives_the_wire() -> None:
    assert FloorPlan.from_json(json.loads(json.dumps(plan().as_json()))) == plan()


def test_a_cluster_of_one_has_no_peers() -> None:
    found = plan_floors([recorded({0: (10, 10)})], {0: {"frames_out": 10.0}}, leader=0, operations=100, logged=5, commands_in_flight=8)
    assert (found.accepts, found.acks) == (0.0, {})


def test_an_empty_recording_is_refused() -> None:
    with pytest.raises(ValueError, match="the recording is empty"):
        plan_floors([recorded({})], {0: {"frames_out": 0.0}}, leader=0, operations=0, logged=0, commands_in_flight=8)
