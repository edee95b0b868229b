"""The readers that meet bytes of strangers, of users or of disks: what good input of each is, and what must hold for any bytes at all.

A judge returns a verdict, ``taken`` or the kind of refusal that the reader's documentation names.  Whatever else comes out is a broken promise:
another exception, a wrong answer, or more time than a reader may take for so few bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from tests.fuzz import files, stored
from tests.fuzz.conversation import hold_conversation, hold_conversations, requests
from tests.fuzz.judging import Judge, Judging, one_by_one
from tests.fuzz.mutations import Mutator
from tests.fuzz.promises import judge as judge_payload
from tests.fuzz.promises import judge_frames, judge_hello
from tests.fuzz.spoiling import Spoiler

if TYPE_CHECKING:
    from random import Random

Source = Callable[[], bytes]
REQUEST_WORDS = (b"\r\n", b"\r\n\r\n", b" ", b":", b"HTTP/1.1", b"?", b"%", b"chunked")


@attrs.frozen
class Target:
    """One reader.

    Attributes:
        name: on the command line, and in the names of kept inputs.
        judge: gives it bytes.
        source: makes an endless supply of inputs from a seeded generator.
        together: gives it many, one after the other, where that saves setting everything up for each.
    """

    name: str
    judge: Judge
    source: Callable[[Random], Source]
    together: Judging | None = None

    @property
    def judging(self) -> Judging:
        """What gives it many inputs."""
        return self.together or one_by_one(self.judge)


def spoiled(good: Callable[[], Sequence[bytes]], words: Sequence[bytes] = ()) -> Callable[[Random], Source]:
    """Return a source of spoiled good inputs, which are made when first needed."""

    def source(random: Random) -> Source:
        return Spoiler(random, good(), words).input

    return source


def sealed(source: Callable[[Random], Source], seal: Callable[[bytes], bytes]) -> Callable[[Random], Source]:
    """Return a source whose inputs have right checksums all the same, so that what stands behind them is reached."""

    def made(random: Random) -> Source:
        inner = source(random)
        return lambda: seal(inner())

    return made


def _payloads(random: Random) -> Source:
    return Mutator(random).payload


def _hellos(random: Random) -> Source:
    return Mutator(random).hello_payload


TARGETS = {
    target.name: target
    for target in (
        Target("wire", judge_payload, _payloads),
        Target("hello", judge_hello, _hellos),
        Target("frames", judge_frames, spoiled(files.streams)),
        Target("log", stored.judge_log, spoiled(stored.segments)),
        Target("log-sealed", stored.judge_sealed_log, sealed(spoiled(stored.segments), stored.seal_segment)),
        Target("journal", stored.judge_journal, spoiled(stored.journal_records)),
        Target("snapshot", stored.judge_snapshot, spoiled(stored.snapshots)),
        Target("snapshot-sealed", stored.judge_snapshot, sealed(spoiled(stored.snapshot_parts), stored.seal_snapshot)),
        Target("admin", hold_conversation, spoiled(requests, REQUEST_WORDS), hold_conversations),
        Target("cluster", files.judge_cluster_file, spoiled(files.cluster_files, files.CLUSTER_WORDS)),
        Target("addresses", files.judge_addresses, spoiled(files.address_lists, files.ADDRESS_WORDS)),
        Target("settings", files.judge_settings, spoiled(files.settings_files, files.SETTINGS_WORDS)),
        Target("history", files.judge_history("jsonl"), spoiled(files.json_histories, files.HISTORY_WORDS)),
        Target("edn", files.judge_history("edn"), spoiled(files.edn_histories, files.EDN_WORDS)),
        Target("jepsen-log", files.judge_history("jepsen-log"), spoiled(files.jepsen_logs, files.EDN_WORDS)),
    )
}


def target_of(name: str) -> Target:
    """Return the target whose input a kept file is: ``<target>-<hash>.payload``."""
    with suppress(KeyError):
        return TARGETS[name.rpartition("-")[0]]
    raise ValueError(name)
