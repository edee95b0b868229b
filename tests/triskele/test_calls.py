from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from replica.core.flights import Completion, CompletionKind
from statemachine.command import CAS_VALUE, CAS_VERSION, PUT
from triskele.calls import Call, Room, cas_condition, command_or_refuse, limited, on_completions, query_or_refuse
from triskele.errors import Refused, Unavailable, Unknown

if TYPE_CHECKING:
    from trio.testing import MockClock


def completion(call: Call, kind: CompletionKind, first: int, count: int, **more: Any) -> Completion:
    return Completion(None, call, kind, first, count, **more)  # type: ignore[arg-type]


def test_a_call_is_done_when_all_its_completions_have_come() -> None:
    call = Call(3, writes=False)
    on_completions([completion(call, CompletionKind.READ, 1, 2, values=[b"b", None], versions=[2, 0])], 0.0)
    assert not call.done.is_set()
    on_completions([completion(call, CompletionKind.READ, 0, 1, values=[b"a"], versions=[1])], 0.0)
    assert call.done.is_set()
    assert (call.values, call.versions) == ([b"a", b"b", None], [1, 2, 0])
    assert call.result(1, 1.0) == b"b"


def test_a_failure_takes_only_what_had_no_answer() -> None:
    call = Call(3, writes=True)
    on_completions([completion(call, CompletionKind.RECORDED, 0, 1, values=[True])], 0.0)
    on_completions([completion(call, CompletionKind.FAILED, 1, 2, reason="expired")], 0.0)
    assert call.done.is_set()
    assert call.result(0, 1.0)
    with pytest.raises(Unknown, match=r"the session ended .*: expired.*may"):
        call.result(1, 1.0)


def test_what_has_no_answer_is_unknown_only_if_it_may_change_something() -> None:
    with pytest.raises(Unknown, match=r"no answer within 1\.5 s"):
        Call(1, writes=True).result(0, 1.5)
    with pytest.raises(Unavailable, match=r"no answer within 1\.5 s"):
        Call(1, writes=False).result(0, 1.5)


def test_other_handles_are_left_alone() -> None:
    on_completions([Completion(None, object(), CompletionKind.OPENED, 0, 1)], 0.0)  # type: ignore[arg-type]


async def test_a_limit_says_what_its_end_means(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    with limited(1.0, lambda: True):
        await trio.sleep(0.5)
    with pytest.raises(Unknown), limited(1.0, lambda: True):
        await trio.sleep(2)
    with pytest.raises(Unavailable), limited(1.0, lambda: False):
        await trio.sleep(2)
    with pytest.raises(LookupError), limited(1.0, lambda: True):
        raise LookupError


async def test_a_cancellation_from_outside_is_not_taken_for_a_timeout(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    with trio.move_on_after(1) as scope:
        with limited(5.0, lambda: True):
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_room_is_given_to_those_who_wait_in_their_order(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    room, order = Room(commands_max=2), []

    async def reserve(name: int) -> None:
        await room.reserve()
        order.append(name)

    await room.reserve()
    await room.reserve()
    async with trio.open_nursery() as nursery:
        for name in range(4):
            nursery.start_soon(reserve, name)
            await trio.testing.wait_all_tasks_blocked()
        assert order == []
        room.give(1, 0)
        await trio.testing.wait_all_tasks_blocked()
        assert order == [0]
        room.give(2, 0)
        await trio.testing.wait_all_tasks_blocked()
        assert order == [0, 1, 2]
        assert room.commands == 2
        room.give(1, 0)


async def test_who_gives_up_waiting_for_room_does_not_take_it_along(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    room = Room(commands_max=1)
    await room.reserve()
    with trio.move_on_after(1) as scope:
        await room.reserve()
    assert scope.cancelled_caught
    room.give(1, 0)
    await room.reserve()
    assert room.commands == 1


async def test_bytes_are_counted_and_one_command_always_goes(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    room = Room(bytes_max=100)
    await room.reserve()
    room.take(0, 1000)
    assert not room.free
    with trio.move_on_after(1) as scope:
        await room.reserve()
    assert scope.cancelled_caught
    room.give(1, 1000)
    assert (room.free, room.commands, room.bytes) == (True, 0, 0)


def test_a_call_gives_its_room_back_once_it_is_done() -> None:
    room = Room()
    room.take(2, 10)
    call = Call(2, True, 10, room)
    call.take(completion(call, CompletionKind.RECORDED, 0, 1))
    assert (room.commands, room.bytes) == (2, 10)
    call.take(completion(call, CompletionKind.FAILED, 1, 1, reason="expired"))
    assert (room.commands, room.bytes) == (0, 0)


def test_cas_wants_one_condition() -> None:
    assert cas_condition(b"v", ...) == (CAS_VALUE, b"v")
    assert cas_condition(None, ...) == (CAS_VALUE, None)
    assert cas_condition(..., 7) == (CAS_VERSION, 7)
    for expected, version in ((b"v", 7), (..., ...)):
        with pytest.raises(TypeError):
            cas_condition(expected, version)


def test_refusals_name_the_limit() -> None:
    command_or_refuse(PUT, b"k", b"v")
    query_or_refuse(b"")
    with pytest.raises(Refused, match="4096"):
        command_or_refuse(PUT, b"k" * 4097, b"v")
    with pytest.raises(Refused, match=str((1 << 63) - 1)):
        command_or_refuse(CAS_VERSION, b"k", [1 << 63, b"v"])
    with pytest.raises(Refused, match="limit"):
        query_or_refuse([b"", None, 0])
