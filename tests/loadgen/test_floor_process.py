"""A floor in one nursery over loopback: frames flow in the planned ratios, and go on flowing."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from loadgen.floor_plan import LIMITS
from loadgen.floor_process import FloorReplica, Payloads, run_client
from replica.wire import decode
from tests.loadgen.test_floor_plan import plan

if TYPE_CHECKING:
    from loadgen.floor_plan import FloorPlan


async def run_floor(the_plan: FloorPlan, *, codec: bool, drivers: int = 1, seconds: float = 0.3) -> tuple[float, dict[int, FloorReplica]]:
    """Run three replicas and one client process's drivers; return the commands a second and the replicas."""
    replicas = {number: FloorReplica(the_plan, number, codec=codec, policy=("turn", 0.0)) for number in the_plan.replicas}
    addresses: dict[int, str] = {}
    told: list[dict[str, Any]] = []
    async with trio.open_nursery() as nursery:
        channels = {number: trio.open_memory_channel[dict[str, Any]](9) for number in replicas}
        bound = {number: trio.Event() for number in replicas}
        for number, replica in replicas.items():

            async def tell(answer: dict[str, Any], number: int = number) -> None:
                await trio.lowlevel.checkpoint()
                addresses[number] = answer["addresses"][0]
                bound[number].set()

            nursery.start_soon(replica.run, channels[number][1], tell, ["127.0.0.1:0"])
        for number in replicas:
            await bound[number].wait()
        for number in replicas:
            await channels[number][0].send({"leader": addresses[the_plan.leader]})
        while len(replicas[the_plan.leader].mesh.links) < len(replicas) - 1:  # noqa: ASYNC110 - the mesh tells nobody else
            await trio.sleep(0.01)
        send, receive = trio.open_memory_channel[dict[str, Any]](9)

        async def note(answer: dict[str, Any]) -> None:
            told.append(answer)
            if answer["event"] == "ready":
                start = monotonic() + 0.1
                await send.send({"start": start, "end": start + seconds})
            else:
                await send.aclose()

        with trio.fail_after(20):
            await run_client(the_plan, {"number": 0, "drivers": drivers, "codec": codec, "addresses": addresses}, receive, note)
        nursery.cancel_scope.cancel()
    return told[-1]["per_second"], replicas


@pytest.mark.parametrize(("codec", "drivers"), [(False, 1), (True, 1), (False, 3)])
async def test_frames_flow_in_the_planned_ratios(codec: bool, drivers: int) -> None:
    the_plan = plan()
    rate, replicas = await run_floor(the_plan, codec=codec, drivers=drivers)
    assert rate > 0
    links = {number: replica.hub.statistics().links for number, replica in replicas.items()}
    requests = {0: 0.5, 1: 1.0, 2: 0.25}
    received = {number: links[number].frames_in for number in links}
    groups = received[1] / (1 + 1.5 * (0.5 + 0.25))  # the leader's frames in: one request a group, and acks of its accepts
    assert groups > 50
    for number, share in requests.items():
        if number != the_plan.leader:
            assert received[number] == pytest.approx(groups * (share + 1.5), rel=0.1, abs=20)
            sent = groups * (share * the_plan.replies[number] + 1.5 * the_plan.acks[number])
            assert links[number].frames_out == pytest.approx(sent, rel=0.1, abs=20)
    assert links[1].frames_out == pytest.approx(groups * (2.0 + 2 * 1.5), rel=0.1, abs=30)


async def test_a_plan_whose_fractions_starve_it_goes_on_all_the_same() -> None:
    """With one command in flight and half a reply for a request nobody owes a whole frame; the client sends again."""
    hungry = attrs.evolve(plan(), commands_in_flight=1, commands_per_group=1.0, replies={0: 0.3, 1: 0.3, 2: 0.3})
    rate, _ = await run_floor(hungry, codec=False, seconds=0.5)
    assert rate > 1


def test_encoded_frames_are_the_prepared_ones() -> None:
    the_plan = plan()
    for payloads in (the_plan.request_payloads[1], the_plan.reply_payloads[0], the_plan.accept_payloads):
        for options in ({"sections": True}, {"sections": True, "shared": True}, {}):
            wire, codec = Payloads(payloads, codec=False), Payloads(payloads, codec=True, **options)
            for _ in range(len(payloads) + 1):
                one, other = b"".join(wire.next())[8:], b"".join(codec.next())[8:]
                assert decode(one, limits=LIMITS) == decode(other, limits=LIMITS)
