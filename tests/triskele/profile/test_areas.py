from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.profiling.naming import COLLECTION, OTHER_THREADS, SAMPLING
from tests.replica.profiling.recorded import MAIN, native, python, record
from triskele.profile.areas import AREAS, area_of

if TYPE_CHECKING:
    from replica.profiling.recording import Frame

STEP = python("Replica.step", "replica/core/replica.py", 1)


def area(*frames: Frame) -> str:
    recording = record((frames, 1, 1))
    return area_of(recording, recording.stacks[0])


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (native("send", "transport/tcp.py", 1), "network writes"),
        (native("sendmsg", "transport/tcp.py", 1), "network writes"),
        (native("_recv", "transport/tcp.py", 1), "network reads"),
        (native("recv", "trio/_socket.py", 1), "network reads"),
        (native("poll", "transport/hub.py", 1), "polling"),
        (native("offer_processor", "transport/hub.py", 1), "polling"),
        (native("join", "transport/batch.py", 1), "protocol"),
        (native("loads", "replica/wire_cbor.py", 1), "protocol"),
        (native(COLLECTION, "", 0), "garbage collection"),
        (native(SAMPLING, "", 0), "other"),
        (native(OTHER_THREADS, "", 0), "storage"),
        (python("TcpLink._transmit", "transport/tcp.py", 1), "network writes"),
        (python("TcpLink.on_readable", "transport/tcp.py", 1), "network reads"),
        (python("FrameDecoder.feed", "transport/frame.py", 1), "encoding"),
        (python("Batcher.gather", "transport/batch.py", 1), "network writes"),
        (python("Hub._serve", "transport/hub.py", 1), "polling"),
        (python("unrolled_run", "trio/_core/_run.py", 1), "polling"),
        (python("decode", "replica/wire.py", 1), "encoding"),
        (python("read", "replica/wire_columns.py", 1), "encoding"),
        (python("ReplicaDriver.on_frames", "replica/driver.py", 1), "protocol"),
        (python("Store.apply", "statemachine/store.py", 1), "state machine"),
        (python("LogOnDisk.append", "replica/storage/log.py", 1), "storage"),
        (python("encode_batch", "replica/journal_codec.py", 1), "storage"),
        (python("Runner._submit", "loadgen/runner.py", 1), "load generator"),
        (python("json_page", "replica/admin.py", 1), "other"),
        (python("Mesh.dial", "transport/mesh.py", 1), "other"),
        (python("read", "<replica.wire_layout Record>", 7), "protocol"),
    ],
)
def test_the_innermost_frame_that_has_an_area_decides(frame: Frame, expected: str) -> None:
    assert area(MAIN, STEP, frame) == expected


def test_libraries_and_generated_code_are_their_caller_s_cost() -> None:
    layout = python("Layout.read", "replica/wire_layout.py", 1)
    assert area(MAIN, STEP, layout, python("read", "<replica.wire_layout Record>", 7)) == "encoding"
    assert area(MAIN, STEP, python("__init__", "<attrs generated methods x>", 3)) == "protocol"
    assert area(MAIN, STEP, layout, native("unpack_from", "struct.py", 3)) == "encoding"


def test_a_socket_call_counts_as_one_only_where_sockets_are() -> None:
    assert area(MAIN, STEP, native("send", "replica/core/reads.py", 1)) == "protocol"


def test_what_no_area_claims_is_other() -> None:
    assert area(native("anything", "", 0)) == "other"
    assert area(python("main", "somewhere.py", 1)) == "other"


def test_every_area_says_what_belongs_to_it() -> None:
    assert all(AREAS.values())
    assert {area_of(recording := record(((MAIN,), 1, 1)), recording.stacks[0])} <= set(AREAS)
