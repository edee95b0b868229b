from __future__ import annotations

from random import Random
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from replica.storage.records import (
    HEAD_BYTES,
    JOIN_BYTES_MAX,
    RECORD_OVERHEAD_BYTES,
    SEGMENT_HEADER_BYTES,
    Queued,
    Record,
    SegmentHeader,
    batch_bytes,
    count_fitting,
    decode_segment_header,
    encode_batch,
    encode_segment_header,
    find_proof,
    is_zero,
    read_head,
    scan,
)

SALT = b"saltSALT"
TAIL_BYTES = 64 * 1024


def queued(*payloads: bytes, kind: int = 1) -> list[Queued]:
    return [Queued(kind, (payload,), len(payload)) for payload in payloads]


class Built:
    """A segment of batches, each of which knows that everything before the one before it was durable."""

    def __init__(self, sizes: list[list[int]], size_bytes: int, seed: int = 7) -> None:
        rng = Random(seed)
        self.header = SegmentHeader(3, SALT, size_bytes)
        self.records: list[Record] = []
        self.offsets: list[int] = []
        self.firsts: list[int] = []
        data = bytearray(encode_segment_header(self.header))
        position = 1
        for batch in sizes:
            payloads = [rng.randbytes(size) for size in batch]
            self.offsets.append(len(data))
            self.firsts.append(position)
            synced = self.firsts[-2] - 1 if len(self.firsts) > 1 else 0
            data += b"".join(encode_batch(SALT, position, synced, queued(*payloads)))
            self.records += [Record(3, position + place, 1, payload) for place, payload in enumerate(payloads)]
            position += len(batch)
        self.end = len(data)
        self.next_position = position
        self.data = bytes(data.ljust(size_bytes, b"\0"))


def test_a_segment_s_header_comes_back() -> None:
    header = SegmentHeader(12, SALT, 1 << 24)
    data = encode_segment_header(header)
    assert len(data) == SEGMENT_HEADER_BYTES
    assert decode_segment_header(data + bytes(100)) == header


def test_a_header_that_is_cut_or_altered_anywhere_is_none() -> None:
    data = encode_segment_header(SegmentHeader(12, SALT, 1 << 24))
    assert all(decode_segment_header(data[:size]) is None for size in range(len(data)))
    assert all(decode_segment_header(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]) is None for at in range(len(data)))


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 255), st.lists(st.binary(max_size=20), max_size=3)), max_size=5), max_size=5), st.integers(1, 1 << 40)
)
def test_what_was_encoded_is_read(batches: list[list[tuple[int, list[bytes]]]], position: int) -> None:
    header = SegmentHeader(2, SALT, 1 << 13)
    data = bytearray(encode_segment_header(header))
    wanted = []
    first = position
    for batch in batches:
        records = [Queued(kind, parts, sum(map(len, parts))) for kind, parts in batch]
        data += b"".join(encode_batch(SALT, position, 0, records))
        wanted += [Record(2, position + place, kind, b"".join(parts)) for place, (kind, parts) in enumerate(batch)]
        position += len(batch)
    found = scan(bytes(data.ljust(1 << 13, b"\0")), header, None)
    assert found == (wanted, first if batches else None, position if batches else None, len(data), "", False)


def test_a_large_batch_is_not_copied_and_reads_the_same() -> None:
    large = b"x" * JOIN_BYTES_MAX
    buffers = encode_batch(SALT, 5, 4, [Queued(9, (large, b"y"), len(large) + 1)])
    assert any(buffer is large for buffer in buffers)
    data = encode_segment_header(SegmentHeader(1, SALT, 1 << 17)) + b"".join(buffers)
    found = scan(data.ljust(1 << 17, b"\0"), SegmentHeader(1, SALT, 1 << 17), 5)
    assert found.records == [Record(1, 5, 9, large + b"y")]


def test_a_seal_takes_no_position() -> None:
    data = encode_segment_header(SegmentHeader(1, SALT, 4096)) + b"".join(encode_batch(SALT, 8, 7, []) + encode_batch(SALT, 8, 7, queued(b"a")))
    found = scan(data.ljust(4096, b"\0"), SegmentHeader(1, SALT, 4096), 8)
    assert (found.first, found.next_position, found.records) == (8, 9, [Record(1, 8, 1, b"a")])


def test_records_that_fit_are_counted_with_what_they_take_beside() -> None:
    records = queued(b"12345", b"", b"1234567890")
    sizes = [len(b"".join(encode_batch(SALT, 1, 0, records[:count]))) for count in range(4)]
    assert [count_fitting(records, size) for size in sizes] == [0, 1, 2, 3]
    assert [count_fitting(records, size - 1) for size in sizes] == [0, 0, 1, 2]


def test_a_whole_batch_of_another_position_is_misplaced() -> None:
    built = Built([[5], [5]], 4096)
    found = scan(built.data, built.header, 1)
    assert not found.misplaced
    found = scan(built.data, built.header, 2, built.offsets[0])
    assert (found.misplaced, found.end) == (True, built.offsets[0])
    assert found.fault == "a batch begins with position 1 where 2 should follow"


def test_only_a_head_of_this_segment_that_knew_the_position_durable_is_a_proof() -> None:
    built = Built([[50], [50], [50]], 4096)  # the third knows that position 1 was durable
    assert find_proof(built.data, SALT, built.offsets[0] + 1, 1) == built.offsets[2]
    assert find_proof(built.data, SALT, built.offsets[0] + 1, 2) is None
    assert find_proof(built.data, SALT, built.offsets[2] + 1, 1) is None
    assert find_proof(built.data, b"SALTsalt", built.offsets[0], 1) is None


def test_a_head_proves_even_if_its_own_body_is_torn() -> None:
    built = Built([[50], [50], [50]], 4096)
    torn = built.data[: built.end - 20].ljust(4096, b"\0")
    assert find_proof(torn, SALT, built.offsets[0] + 1, 1) == built.offsets[2]


def test_a_salt_in_a_value_is_no_head() -> None:
    data = (SALT * 20).ljust(500, b"\0")
    assert find_proof(data, SALT, 0, 0) is None
    assert read_head(data, len(data) - HEAD_BYTES + 1, SALT) is None


def test_zeros_are_told_from_anything_else() -> None:
    data = bytes(3_000_000)
    assert is_zero(data, 0)
    assert is_zero(data, len(data))
    for at in (0, 1_048_576, 2_999_999):
        assert not is_zero(data[:at] + b"\1" + data[at + 1 :], 0)
        assert is_zero(data[:at] + b"\1" + data[at + 1 :], at + 1)


def judge(built: Built, data: bytes, batch: int) -> list[Record] | None:
    """What a start makes of a segment that was altered in or behind a batch; None: it refuses. What stands before was not touched."""
    found = scan(data, built.header, built.firsts[batch], built.offsets[batch])
    assert found.next_position is not None
    if found.misplaced or (found.fault and find_proof(data, SALT, found.end, found.next_position) is not None):
        return None
    return found.records


def tail_places(built: Built) -> list[tuple[int, int]]:
    """Every offset of the written part's last bytes, and the batch it lies in."""
    ends = [*built.offsets[1:], built.end]
    places = [(at, batch) for batch, (low, high) in enumerate(zip(built.offsets, ends, strict=True)) for at in range(low, high)]
    assert len(places) > TAIL_BYTES
    return places[-TAIL_BYTES:]


def long_segment() -> Built:
    rng = Random(5)
    return Built([[rng.randrange(300) for _ in range(rng.randrange(1, 9))] for _ in range(95)], 80 * 1024)


def test_every_flipped_byte_of_the_last_64_kib_cuts_the_tail_or_is_refused() -> None:
    """Refused wherever a later batch knew that what was hit was durable; cut where nothing tells it from a torn tail. Nothing else is served."""
    built = long_segment()
    durable = built.firsts[-2] - 1  # what the last batch knew
    data = bytearray(built.data)
    for at, batch in tail_places(built):
        old = data[at]
        data[at] ^= 1 << (at % 8)
        served = judge(built, bytes(data), batch)
        data[at] = old
        assert served == (None if built.firsts[batch] <= durable else []), at


def test_every_cut_of_the_last_64_kib_leaves_whole_batches_from_the_start() -> None:
    """A cut is zeros from there on: what a torn write leaves. Nothing behind it is there to prove anything."""
    built = long_segment()
    ends = [*built.offsets[1:], built.end]
    for at, batch in tail_places(built):
        served = judge(built, built.data[:at].ljust(len(built.data), b"\0"), batch)
        unharmed = not any(built.data[at : ends[batch]])  # the batch ends in zeros
        first = built.firsts[batch]
        after = built.firsts[batch + 1] if batch + 1 < len(ends) else built.next_position
        assert served == (built.records[first - 1 : after - 1] if unharmed else []), at


def test_unsynced_batches_behind_a_torn_one_prove_nothing() -> None:
    """Sectors of one flush arrive in any order: a later batch may be whole where an earlier one is not."""
    header = SegmentHeader(1, SALT, 8192)
    data = bytearray(encode_segment_header(header))
    offsets = []
    for position in range(1, 6):
        offsets.append(len(data))
        data += b"".join(encode_batch(SALT, position, min(position - 1, 2), queued(b"x" * 600)))
    data = data.ljust(8192, b"\0")
    data[offsets[2] + 50] ^= 1  # position 3, which nobody knew to be durable
    found = scan(bytes(data), header, 1)
    assert (found.next_position, found.end) == (3, offsets[2])
    assert read_head(bytes(data), offsets[3], SALT) is not None
    assert find_proof(bytes(data), SALT, found.end, 3) is None
    data[offsets[1] + 50] ^= 1  # position 2, which they knew
    assert find_proof(bytes(data), SALT, offsets[1], 2) == offsets[2]


def test_a_batch_whose_checksum_is_right_and_that_does_not_divide_is_nothing_that_a_crash_leaves() -> None:
    """A head that counts wrong, with checksums made for it: no crash does that, and no reader may fall over it."""
    header = SegmentHeader(3, SALT, 4096)
    batch = bytearray(b"".join(encode_batch(SALT, 1, 0, queued(b"one", b"two"))))
    for records in (0, 1, 3, 1 << 30):
        batch[16:20] = records.to_bytes(4, "little")
        batch[HEAD_BYTES - 4 : HEAD_BYTES] = crc32(batch[: HEAD_BYTES - 4]).to_bytes(4, "little")
        data = (encode_segment_header(header) + bytes(batch)).ljust(header.size_bytes, b"\0")
        found = scan(data, header, None)
        assert (found.records, found.end, found.misplaced) == ([], SEGMENT_HEADER_BYTES, True)
        assert f"does not divide into {records} records" in found.fault


def test_the_bytes_of_a_batch_are_those_that_are_written() -> None:
    payloads = [b"", b"one", b"x" * 600]
    assert batch_bytes(payloads) == len(b"".join(encode_batch(SALT, 1, 0, queued(*payloads))))


def test_no_batch_has_more_bytes_than_its_head_can_tell() -> None:
    sizes = [1 << 30, 1 << 30, 1 << 30, (1 << 30) - 4 * RECORD_OVERHEAD_BYTES - 1]
    fitting = [Queued(1, (), size) for size in sizes]
    assert count_fitting(fitting, 1 << 40) == 4
    assert count_fitting([*fitting[:3], Queued(1, (), sizes[3] + 1)], 1 << 40) == 3
