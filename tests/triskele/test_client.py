"""What the library promises, over real cores and drivers in one nursery and in virtual time."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

import triskele
from replica.config import Settings
from triskele.client import CAUSAL, STRONG, Refused, Store, Unavailable, Unknown, connect
from triskele.testing import cluster as memory_cluster

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

MODES = ["ho", "ht", "curp", "paxos"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("consistency", [STRONG, CAUSAL])
async def test_what_a_session_writes_it_reads(autojump_clock: MockClock, mode: str, consistency: triskele.Consistency) -> None:
    async with memory_cluster(mode=mode) as cluster, cluster.store() as store:  # type: ignore[arg-type]
        assert await store.get(b"k", consistency=consistency) is None
        await store.put(b"k", b"v", consistency=consistency)
        assert await store.get(b"k", consistency=consistency) == b"v"
        assert await store.get(b"k") == b"v"
        await store.delete(b"k", consistency=consistency)
        assert await store.get(b"k", consistency=consistency) is None
        await store.flush()
    assert autojump_clock.current_time() < 60


async def test_a_version_is_told_for_committed_and_own_fresh_writes_alike(autojump_clock: MockClock) -> None:
    async with memory_cluster() as cluster, cluster.store() as store:
        cluster.fabric.delay(0.001, 0.002)
        for consistency in (STRONG, CAUSAL):
            assert await store.get(b"missing", with_version=True, consistency=consistency) == (None, 0)
            await store.put(b"k", b"v", consistency=consistency)
            value, version = await store.get(b"k", with_version=True, consistency=consistency)
            assert value == b"v"
            assert version > 0
            assert await store.cas(b"k", b"w", version=version)
            assert not await store.cas(b"k", b"x", version=version)
            assert await store.get(b"k", consistency=consistency) == b"w"
    assert autojump_clock.current_time() < 5


async def test_a_version_of_an_own_causal_write_takes_no_resend(autojump_clock: MockClock) -> None:
    """The read waits for the commit and is asked once; a leader that did not know the write yet would ignore it until it is sent again."""
    async with memory_cluster() as cluster, cluster.store() as store:
        cluster.fabric.delay(0.001, 0.001)
        begun = autojump_clock.current_time()
        await store.put(b"k", b"v", consistency=CAUSAL)
        await store.get(b"k", consistency=CAUSAL, with_version=True)
        assert autojump_clock.current_time() - begun < 0.02


async def test_cas_compares_values_versions_and_absence(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:
        assert await store.cas(b"k", b"1", expected=None)
        assert not await store.cas(b"k", b"2", expected=None)
        assert not await store.cas(b"k", b"2", expected=b"0")
        assert await store.cas(b"k", b"2", expected=b"1")
        assert await store.cas(b"other", b"1", version=0)
        assert not await store.cas(b"other", b"2", version=0)
        assert await store.scan() == [(b"k", b"2"), (b"other", b"1")]


async def test_what_is_no_command_is_refused_at_once_and_sends_nothing() -> None:
    async with memory_cluster() as cluster, cluster.store() as store:
        number = cluster.servers[0].core.node.applied_position
        refused: list[tuple[Awaitable[Any], str]] = [
            (store.put(b"k" * 4097, b""), "4096"),
            (store.put(b"k", b"v" * 1048577), "1048576"),
            (store.put("k", b"v"), "bytes, not str"),  # type: ignore[arg-type]
            (store.get(b"k" * 4097), "4096"),
            (store.delete(b"k" * 4097), "4096"),
            (store.cas(b"k", b"v", expected=b"x" * 1048577), "expected value"),
            (store.cas(b"k", b"v", version=-1), "from 0"),
            (store.cas(b"k", b"v", version=1 << 63), "largest"),
            (store.scan(limit=0), "limit"),
            (store.scan(b"k" * 4097), "4096"),
            (store.scan(b"", b"k" * 4097), "4096"),
            (store.get(b"k", consistency="foo"), "consistency 'foo': there is strong and causal"),  # type: ignore[call-overload]
            (store.put(b"k", b"v", consistency=None), "consistency None"),  # type: ignore[arg-type]
            (store.scan(consistency="CAUSAL"), "consistency 'CAUSAL'"),  # type: ignore[arg-type]
            (store.get(b"k", timeout=-1), "timeout -1: must be a number of seconds from 0"),
            (store.put(b"k", b"v", timeout=math.nan), "timeout nan"),
            (store.flush(timeout=-0.5), "timeout -0.5"),
            (store.get(b"k", timeout=10**400), "timeout: must be a number of seconds that a float can hold"),
            (store.get([b"a", None, 5]), "bytes, not list"),  # type: ignore[call-overload]
            (store.scan(timeout="1"), "timeout '1'"),  # type: ignore[arg-type]
        ]
        for command, words in refused:
            with pytest.raises(Refused, match=words):
                await command
        with pytest.raises(TypeError, match="either"):
            await store.cas(b"k", b"v")  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="either"):
            await store.cas(b"k", b"v", expected=None, version=1)  # type: ignore[call-overload]
        await store.flush()
        assert cluster.servers[0].core.node.applied_position == number


async def test_a_consistency_may_be_given_as_text(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    """And is the one it names: whoever reaches a single replica has causal reads, and no strong ones."""
    async with memory_cluster() as cluster, cluster.store() as store:
        await store.put(b"k", b"v", consistency="strong")
        await store.flush()
        await trio.sleep(1)  # all have it
        cluster.fabric.partition(["r1", "r2"], ["r0", "client0"])
        assert await store.get(b"k", consistency="causal", timeout=1) == b"v"
        assert await store.scan(consistency="causal", timeout=1) == [(b"k", b"v")]
        with pytest.raises(Unavailable):
            await store.get(b"k", consistency="strong", timeout=1)


@pytest.mark.parametrize("consistency", [STRONG, CAUSAL])
async def test_a_scan_pages_and_sees_own_writes_that_are_on_their_way(autojump_clock: MockClock, consistency: triskele.Consistency) -> None:  # noqa: ARG001
    async with memory_cluster() as cluster, cluster.store() as store:
        async with store.pipeline() as batch:
            for number in range(2500):
                batch.put(b"%06d" % number, b"v")
        cluster.fabric.delay(0.001, 0.002)
        async with trio.open_nursery() as nursery:
            for key in (b"000500", b"001500", b"002400"):
                nursery.start_soon(partial(store.delete, key, consistency=CAUSAL))
            nursery.start_soon(partial(store.put, b"000500x", b"new", consistency=CAUSAL))
        rows = await store.scan(consistency=consistency, limit=10_000)
        keys = [key for key, _ in rows]
        assert keys == sorted(keys)
        assert len(keys) == len(set(keys)) == 2500 - 3 + 1
        assert (b"000500x", b"new") in rows
        assert len(await store.scan(limit=1234, consistency=consistency)) == 1234
        assert await store.scan(b"000010", b"000013", consistency=consistency) == [(b"0000%d" % number, b"v") for number in (10, 11, 12)]


async def test_a_scan_goes_on_behind_a_key_of_greatest_length(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:
        async with store.pipeline() as batch:
            for number in range(1500):
                batch.put(b"%04d" % number + b"k" * 4092, b"")
        assert len(await store.scan(limit=2000)) == 1500
        assert len(await store.scan(limit=2000, consistency=CAUSAL)) == 1500


async def test_a_wait_that_ends_leaves_the_command_on_its_way(autojump_clock: MockClock) -> None:
    async with memory_cluster() as cluster, cluster.store() as store:
        cluster.fabric.partition({"client0"}, {"r0", "r1", "r2"})
        begun = autojump_clock.current_time()
        with pytest.raises(Unknown, match=r"no answer within 0\.5 s.*may"):
            await store.put(b"k", b"v", timeout=0.5)
        with pytest.raises(Unavailable, match=r"no answer within 0\.25 s"):
            await store.get(b"k", timeout=0.25)
        with pytest.raises(Unavailable):
            await store.scan(timeout=0.25)
        with pytest.raises(Unknown):
            await store.flush(timeout=0.25)
        with pytest.raises(Unknown):
            await store.cas(b"c", b"1", expected=None, timeout=0.25)
        assert autojump_clock.current_time() - begun == pytest.approx(1.5)
        cluster.fabric.heal()
        assert await store.get(b"k") == b"v"
        assert await store.get(b"c") == b"1"


async def test_cancelling_at_any_moment_stops_no_later_command(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:
        cluster.fabric.delay(0.001, 0.003)
        commands: list[Callable[[], Awaitable[Any]]] = [
            lambda: store.put(b"p", b"1"),
            lambda: store.put(b"q", b"1", consistency=CAUSAL),
            lambda: store.get(b"p"),
            lambda: store.get(b"p", consistency=CAUSAL, with_version=True),
            lambda: store.cas(b"c", b"1", expected=None),
            store.scan,
            store.flush,
        ]
        for step in range(12):
            for command in commands:
                with trio.move_on_after(step * 0.0005):
                    await command()
        await store.put(b"k", b"after")
        assert await store.get(b"k") == b"after"
        assert await store.get(b"k", consistency=CAUSAL) == b"after"
        await store.flush()


async def test_commands_cancelled_before_they_begin_are_not_sent(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.put(b"k", b"v")
        assert scope.cancelled_caught
        await store.flush()
        assert await store.get(b"k") is None


async def test_sessions_are_their_own_and_share_links(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:
        async with store.session() as other:
            await other.put(b"k", b"v")
            assert await store.get(b"k") == b"v"
            assert cluster.servers[0].core.status()["sessions"] == 2
            assert len(cluster.servers[0].mesh.links) == 3, "two replicas and one client"
        with pytest.raises(Unavailable, match="closed"):
            await other.get(b"k")
        await store.put(b"k", b"w")
        with trio.fail_after(5):
            while cluster.servers[0].core.status()["sessions"] != 1:  # noqa: ASYNC110 - the core tells nobody
                await trio.sleep(0.01)


Waits = list[tuple[str, Callable[[Store], Awaitable[object]], type[Exception]]]
WAITS: Waits = [
    ("put", lambda store: store.put(b"k", b"v"), Unknown),
    ("causal put", lambda store: store.put(b"k", b"v", consistency=CAUSAL), Unknown),
    ("cas", lambda store: store.cas(b"k", b"v", expected=None), Unknown),
    ("get", lambda store: store.get(b"k"), Unavailable),
    ("causal get", lambda store: store.get(b"k", consistency=CAUSAL), Unavailable),
    ("scan", lambda store: store.scan(), Unavailable),
    ("flush", lambda store: store.flush(), Unknown),
    ("open", lambda store: store.open(), Unavailable),
]


class Waiting:
    """Tasks that wait, each for one answer and for ever, in a nursery of theirs; ``told``: what each was told."""

    def __init__(self) -> None:
        self.told: dict[str, Exception] = {}

    async def run(self, name: str, wait: Callable[[Store], Awaitable[object]], store: Store) -> None:
        try:
            await wait(store)
        except (Unknown, Unavailable) as error:
            self.told[name] = error

    def check(self) -> None:
        """Require that all were told, honestly."""
        assert {name: type(error) for name, error in self.told.items()} == {name: wanted for name, _, wanted in WAITS}
        for name, error in self.told.items():
            assert "closed" in str(error), name
            assert ("may have taken effect" in str(error)) is (name in {"put", "causal put", "cas"})


async def test_what_a_session_has_on_its_way_when_it_is_closed_is_told_at_once(autojump_clock: MockClock) -> None:
    async with memory_cluster() as cluster, cluster.store(timeout=5.0) as store, trio.open_nursery() as nursery:
        cluster.fabric.delay(0.01, 0.01)
        waiting = Waiting()
        store._timeout = math.inf
        async with store.session() as other:
            cluster.fabric.partition({"client0"}, {"r0", "r1", "r2"})
            unopened = Store(store._sessions, math.inf)
            for name, wait, _ in WAITS:
                nursery.start_soon(waiting.run, name, wait, unopened if name == "open" else other)
                await trio.sleep(0.1)
            begun = autojump_clock.current_time()
            unopened.close()
        await trio.sleep(0.001)
        assert autojump_clock.current_time() - begun < 0.01
        waiting.check()
        assert (other._live.room.commands, other._live.room.bytes) == (0, 0)
        cluster.fabric.heal()
        await store.get(b"k")


async def test_who_waits_outside_of_a_connection_that_ends_is_told_at_once(autojump_clock: MockClock) -> None:
    async with memory_cluster() as cluster:
        waiting = Waiting()
        async with trio.open_nursery() as nursery, cluster.store() as store:
            store._timeout = math.inf
            outer = Store(store._sessions, math.inf)
            await outer.open()
            unopened = Store(store._sessions, math.inf)
            cluster.fabric.partition({"client0"}, {"r0", "r1", "r2"})
            for number, (name, wait, _) in enumerate(WAITS):
                nursery.start_soon(waiting.run, name, wait, unopened if name == "open" else (store, outer)[number % 2])
                await trio.sleep(0.1)
            begun = autojump_clock.current_time()
        assert autojump_clock.current_time() - begun < 0.01
        waiting.check()
        for closed in (store, outer, unopened):
            with pytest.raises(Unavailable, match="closed"):
                await closed.put(b"k", b"v")
        with pytest.raises(Unavailable, match="closed"):
            async with store.session():
                raise AssertionError
        cluster.fabric.heal()


async def test_a_shielded_cleanup_still_sends_when_its_block_was_cancelled(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster:
        cleaned = False
        with trio.move_on_after(1):
            async with cluster.store(timeout=math.inf) as store:
                await store.put(b"lock", b"mine")
                try:
                    await trio.sleep_forever()
                finally:
                    with trio.fail_after(2, shield=True):
                        await store.delete(b"lock")
                        cleaned = True
        assert cleaned
        async with cluster.store() as other:
            assert await other.get(b"lock") is None


async def test_too_many_sessions_is_unavailable_with_the_reason(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster(settings=Settings(sessions_max=1)) as cluster, cluster.store() as store:
        with pytest.raises(Unavailable, match="too many sessions"):
            async with store.session():
                raise AssertionError
        await store.put(b"k", b"v")


async def test_nobody_there_is_unavailable_in_one_line() -> None:
    with pytest.raises(Unavailable, match=r"cannot reach the cluster at 127\.0\.0\.1:1 within 0\.2 s: nobody answers"):
        async with connect("127.0.0.1:1", timeout=0.2):
            raise AssertionError


async def test_what_no_cluster_can_be_reached_by_is_refused_in_a_program_s_words(tmp_path: Path) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"cluster": "nonsense"}, "^cluster nonsense: no such file"),
        ({"cluster": tmp_path / "ready.json"}, "ready.json: no such file"),
        ({"cluster": "127.0.0.1:99999"}, "^cluster 127.0.0.1:99999: "),
        ({"cluster": "http://127.0.0.1:1"}, "^cluster http://127.0.0.1:1: has no address for clients"),
        ({"cluster": "127.0.0.1:1", "transport": "udp"}, "^transport 'udp': there is native and websocket"),
        ({"cluster": "127.0.0.1:1", "timeout": -1}, "^timeout -1: "),
    ]
    for arguments, why in refused:
        with pytest.raises(Refused, match=why):
            async with connect(**arguments):
                raise AssertionError


async def test_what_the_block_raises_leaves_it_as_itself(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster:

        async def use(error: BaseException) -> None:
            async with cluster.store():
                raise error

        with pytest.raises(LookupError, match="mine"):
            await use(LookupError("mine"))
        group = ExceptionGroup("mine", [ValueError("one")])
        with pytest.raises(ExceptionGroup) as caught:
            await use(group)
        assert caught.value is group
        with pytest.raises(SystemExit) as ended:  # in a group it would be a traceback and exit status 1
            await use(SystemExit(3))
        assert ended.value.code == 3
        with pytest.raises(KeyboardInterrupt):
            await use(KeyboardInterrupt())


async def test_a_task_may_use_a_store_from_another(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    async with memory_cluster() as cluster, cluster.store() as store:

        async def count(store: Store) -> None:
            while True:
                value, version = await store.get(b"counter", with_version=True)
                if await store.cas(b"counter", b"%d" % (int(value or b"0") + 1), version=version):
                    return

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(count, store)
        assert await store.get(b"counter") == b"20"


def test_the_package_has_the_documented_names() -> None:
    assert triskele.connect is connect
    assert {triskele.STRONG, triskele.CAUSAL} == set(triskele.Consistency)
    assert issubclass(triskele.Unknown, triskele.TriskeleError)
    with pytest.raises(AttributeError, match="nonsense"):
        triskele.nonsense  # noqa: B018 - asked for
