"""The dialing side speaks first; who is accepted hears a hello, who is not hears why; frames behind a hello are not lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from transport.errors import HandshakeRefused
from transport.handshake import Connection, Identity
from transport.link import Link
from transport.statistics import LinkStatistics, SystemCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FRIEND = Identity("friend", exclusive=True)


class RecordingLink(Link):
    """A link that keeps what is sent."""

    def __init__(self, connection: Connection) -> None:
        super().__init__("recording", connection.on_frames, connection.on_closed)
        self.sent: list[bytes] = []
        self.flushed: list[bytes] = []
        self.breaks_on_flush = False

    def send(self, parts: Sequence[bytes], commands: int = 0) -> bool:
        del commands
        self.sent.append(b"".join(parts))
        return self.close_reason is None

    def send_encoded(self, buffers: Sequence[bytes], commands: int = 0) -> bool:
        return self.send(buffers, commands)

    def flush(self) -> None:
        if self.breaks_on_flush:
            self.abort("reset")
        self.flushed, self.sent = self.flushed + self.sent, []

    def close(self, reason: str) -> None:
        self.flush()
        self.abort(reason)

    def abort(self, reason: str) -> None:
        if self.close_reason is None:
            self._mark_closed(reason)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    @property
    def queued_bytes(self) -> int:
        return 0

    @property
    def dropped(self) -> int:
        return 0

    def set_frame_bytes_max(self, limit: int) -> None: ...

    def statistics(self) -> LinkStatistics:
        return self._base_statistics(SystemCalls())


def judge(hello: bytes) -> Identity:
    if hello == b"no":
        raise HandshakeRefused("no", told=True)
    if hello != b"friend":
        raise HandshakeRefused("stranger")
    return FRIEND


class Scene:
    def __init__(self, *, dialed: bool, expected: Identity | None = None, refusal: Callable[[str, str], bytes] | None = None) -> None:
        self.ups: list[Connection] = []
        self.frames: list[bytes] = []
        self.connection = Connection(b"me", judge, refusal, self.on_up, dialed=dialed, expected=expected)
        self.link = RecordingLink(self.connection)
        self.connection.begin(self.link)

    def on_up(self, connection: Connection) -> None:
        self.ups.append(connection)
        self.link.on_frames = lambda _, frames: self.frames.extend(frames)

    def hear(self, *frames: bytes) -> None:
        self.link.on_frames(self.link, list(frames))


async def test_the_dialing_side_speaks_first() -> None:
    scene = Scene(dialed=True)
    assert scene.link.flushed == [b"me"]
    scene.hear(b"friend")
    assert scene.connection.identity == FRIEND
    assert scene.connection.settled.is_set()
    assert (scene.ups, scene.link.flushed) == ([scene.connection], [b"me"])


async def test_the_accepting_side_answers_who_it_accepts() -> None:
    scene = Scene(dialed=False)
    assert scene.link.flushed == []
    scene.hear(b"friend")
    assert (scene.ups, scene.link.flushed) == ([scene.connection], [b"me"])


async def test_frames_behind_the_hello_are_handed_over() -> None:
    scene = Scene(dialed=True)
    scene.hear(b"friend", b"one", b"two")
    scene.hear(b"three")
    assert scene.frames == [b"one", b"two", b"three"]


@pytest.mark.parametrize(("refusal", "words"), [(None, []), (lambda why, _detail: b"no: " + why.encode(), [b"no: stranger"])])
async def test_who_is_refused_is_told_why_if_we_have_words_for_it(refusal: Callable[[str, str], bytes] | None, words: list[bytes]) -> None:
    scene = Scene(dialed=False, refusal=refusal)
    scene.hear(b"who?", b"never seen")
    assert scene.link.close_reason == "handshake_refused:stranger"
    assert (scene.link.flushed, scene.ups, scene.frames) == (words, [], [])
    assert scene.connection.settled.is_set()


async def test_who_refuses_us_is_not_refused_in_return() -> None:
    scene = Scene(dialed=True, refusal=lambda why, _detail: why.encode())
    scene.hear(b"no")
    assert (scene.link.close_reason, scene.link.flushed) == ("handshake_refused:no", [b"me"])
    assert scene.connection.refused is not None
    assert scene.connection.refused.told


async def test_somebody_else_than_expected_is_refused() -> None:
    scene = Scene(dialed=True, expected=Identity("somebody else", exclusive=True))
    scene.hear(b"friend")
    assert scene.link.close_reason == "handshake_refused:unexpected_identity"


async def test_a_link_that_breaks_under_our_answer_never_comes_up() -> None:
    scene = Scene(dialed=False)
    scene.link.breaks_on_flush = True
    scene.hear(b"friend")
    assert (scene.ups, scene.link.close_reason) == ([], "reset")


async def test_a_bug_in_the_judge_is_not_a_refusal() -> None:
    def fail(_: bytes) -> Identity:
        raise ZeroDivisionError

    scene = Scene(dialed=False)
    scene.connection._judge = fail
    with pytest.raises(ZeroDivisionError):
        scene.hear(b"friend")
