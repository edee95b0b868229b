"""The batcher gives to sends exactly the bytes that were appended, in order, whole frames or nothing; policies say when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from transport.batch import IOV_MAX, SEND_BYTES_MAX, Batcher, FixedPolicy, TurnPolicy
from transport.errors import LocalMisuse
from transport.frame import JOIN_BYTES_MAX, encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transport.batch import Buffer

LIMIT = 300_000


def joined(buffers: Iterable[Buffer]) -> bytes:
    return b"".join(buffers)


def test_small_frames_become_one_buffer() -> None:
    batcher = Batcher(TurnPolicy())
    for n in range(64):
        batcher.append(encode([b"%150d" % n]))
    assert len(batcher.gather()) == 1
    assert batcher.fresh_frames == 64


def test_large_frames_are_gathered_without_a_copy() -> None:
    batcher = Batcher(TurnPolicy())
    large = bytes(JOIN_BYTES_MAX + 1)
    for buffers in (encode([b"a"]), encode([b"b"]), encode([large]), encode([b"c"])):
        batcher.append(buffers)
    gathered = list(batcher.gather())
    assert [len(buffer) for buffer in gathered] == [9 + 9 + 8, len(large), 9]
    assert gathered[1] is large


def test_one_send_takes_no_more_buffers_than_the_kernel_does() -> None:
    batcher = Batcher(TurnPolicy())
    for _ in range(2 * IOV_MAX):
        batcher.append([b"x" * 300, b"y" * JOIN_BYTES_MAX])
        if batcher.queued_bytes > 4 * SEND_BYTES_MAX:
            break
    for _ in range(5000):
        batcher.append([b"z" * 5])
    gathered = batcher.gather()
    assert len(gathered) <= IOV_MAX
    assert sum(map(len, gathered)) <= SEND_BYTES_MAX


def test_a_frame_larger_than_a_send_goes_by_itself() -> None:
    batcher = Batcher(TurnPolicy())
    batcher.append([bytes(2 * SEND_BYTES_MAX)])
    batcher.append([b"next"])
    assert [len(buffer) for buffer in batcher.gather()] == [2 * SEND_BYTES_MAX]


def test_a_full_queue_drops_whole_frames_and_counts_them() -> None:
    batcher = Batcher(TurnPolicy(), 100)
    assert batcher.append([b"a" * 60])
    assert not batcher.append([b"b" * 20, b"c" * 21])
    assert batcher.append([b"d" * 40])
    assert batcher.dropped == 1
    assert joined(batcher.gather()) == b"a" * 60 + b"d" * 40


def test_clearing_forgets_everything() -> None:
    batcher = Batcher(TurnPolicy(), 100)
    batcher.append([b"a" * 60])
    batcher.clear()
    assert (batcher.queued_bytes, batcher.fresh_frames, list(batcher.gather())) == (0, 0, [])
    assert batcher.append([b"b" * 100])


def test_turn_never_holds() -> None:
    assert not TurnPolicy().holds
    assert TurnPolicy().hold_seconds(1, 1, 0.0) == 0


def test_fixed_holds_until_the_oldest_frame_is_old_enough() -> None:
    batcher = Batcher(FixedPolicy(0.5))
    batcher.append([b"first"], now=10.0)
    batcher.append([b"second"], now=10.25)
    assert batcher.hold_seconds(10.25) == 0.25
    assert batcher.hold_seconds(10.5) <= 0


def test_fixed_does_not_hold_what_is_large_already() -> None:
    assert FixedPolicy(0.5, full_bytes=1000).hold_seconds(1, 1000, 0.0) == 0


def test_the_rest_of_a_partial_send_is_never_held() -> None:
    batcher = Batcher(FixedPolicy(0.5))
    batcher.append([b"frame"], now=10.0)
    batcher.sent(2)
    assert batcher.hold_seconds(10.0) == 0


def test_fixed_without_a_delay_does_not_hold() -> None:
    assert not FixedPolicy(0.0).holds


def test_a_negative_delay_is_refused() -> None:
    with pytest.raises(LocalMisuse, match="-1"):
        FixedPolicy(-1)


@pytest.mark.parametrize("policy", [TurnPolicy(), FixedPolicy(0.5)])
def test_policies_without_state_are_shared_and_learn_nothing(policy: TurnPolicy | FixedPolicy) -> None:
    before = (policy.holds, policy.only_while_busy, policy.delay_seconds)
    policy.sent(3, 300, 1.0, 10.0)
    assert policy.for_link() is policy
    assert (policy.holds, policy.only_while_busy, policy.delay_seconds) == before
    assert policy.delay_seconds == (0.5 if policy.holds else 0.0)


class BatcherAgainstBytes(RuleBasedStateMachine):
    """The model: the bytes accepted and not yet sent, as one string."""

    def __init__(self) -> None:
        super().__init__()
        self.batcher = Batcher(TurnPolicy(), LIMIT)
        self.expected = b""
        self.dropped = 0
        self.fill = 0

    @rule(sizes=st.lists(st.sampled_from([1, 7, 150, 5000, JOIN_BYTES_MAX, JOIN_BYTES_MAX + 1, 100_000]), min_size=1, max_size=4))
    def append(self, sizes: list[int]) -> None:
        self.fill = (self.fill + 1) % 251
        buffers = [bytes([self.fill]) * size for size in sizes]
        taken = self.batcher.append(buffers)
        assert taken == (len(self.expected) + sum(sizes) <= LIMIT)
        if taken:
            self.expected += joined(buffers)
        else:
            self.dropped += 1

    @precondition(lambda self: self.expected)
    @rule(share=st.floats(0, 1))
    def send(self, share: float) -> None:
        offered = joined(self.batcher.gather())
        assert offered
        assert self.expected.startswith(offered)
        count = max(1, round(len(offered) * share))
        self.batcher.sent(count)
        self.expected = self.expected[count:]

    @rule()
    def gather_without_sending(self) -> None:
        assert self.expected.startswith(joined(self.batcher.gather()))

    @invariant()
    def counts_are_true(self) -> None:
        assert (self.batcher.queued_bytes, self.batcher.dropped) == (len(self.expected), self.dropped)


TestBatcherAgainstBytes = BatcherAgainstBytes.TestCase
TestBatcherAgainstBytes.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
