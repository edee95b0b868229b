from __future__ import annotations

import gzip
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from replica.admin import AdminServer
from replica.listening import bound_address, open_socket
from replica.profiling.pages import Profiling
from replica.profiling.recording import Recording
from replica.profiling.sampler import Sampler
from tests.replica.profiling.test_pprof import Read
from triskele.admin_client import Answer, get

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Counters:
    """Running totals that run."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> dict[str, object]:
        self.asked += 1
        return {"role": "leader", "asked": self.asked}


class Served:
    """A server with the pages of profiling."""

    def __init__(self, address: str, profiling: Profiling) -> None:
        self.address = address
        self.profiling = profiling

    async def get(self, path: str) -> Answer:
        return await get(self.address, path, timeout=30.0)

    async def busy(self) -> None:
        """Wait until something is being taken."""
        with trio.fail_after(10):
            while not self.profiling._busy:  # noqa: ASYNC110 - nobody sets an event for it
                await trio.sleep(0.005)

    async def idle(self) -> None:
        with trio.fail_after(10):
            while self.profiling._busy:  # noqa: ASYNC110 - nobody sets an event for it
                await trio.sleep(0.005)


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    opened = open_socket("127.0.0.1:0")
    profiling = Profiling("replica 7", Counters())
    server = AdminServer(profiling.routes, parameters=profiling.parameters)
    async with trio.open_nursery() as nursery:
        address = f"http://{bound_address(opened)}"
        await nursery.start(server.serve, [trio.SocketListener(trio.socket.from_stdlib_socket(opened))])
        yield Served(address, profiling)
        nursery.cancel_scope.cancel()


async def burn() -> None:
    while True:
        sum(range(20_000))
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def busy_server() -> AsyncIterator[Served]:
    """The same in a process with something to do."""
    async with served() as admin, trio.open_nursery() as nursery:
        nursery.start_soon(burn)
        yield admin
        nursery.cancel_scope.cancel()


async def test_a_profile_is_pprof_s_gzipped_file() -> None:
    async with busy_server() as admin:
        answer = await admin.get("/debug/pprof/profile?seconds=0.3")
    read = Read(gzip.decompress(answer.body))
    assert answer.status == 200
    assert {"burn"} <= {place[0] for places, _ in read.samples for place in places}


async def test_the_other_formats_are_json_and_lines() -> None:
    async with busy_server() as admin:
        speedscope = json.loads((await admin.get("/debug/pprof/profile?seconds=0.1&format=speedscope")).body)
        assert speedscope["name"] == "replica 7"
        lines = (await admin.get("/debug/pprof/profile?seconds=0.3&format=collapsed")).body.decode().splitlines()
        assert lines
        assert all(line.rpartition(" ")[2].isdigit() for line in lines)


async def test_json_has_the_samples_and_the_counters_at_both_ends() -> None:
    async with busy_server() as admin:
        told = json.loads((await admin.get("/debug/pprof/profile?seconds=0.2&hz=50&format=json")).body)
    recording = Recording.from_json(told["recording"])
    assert recording.hz == 50
    assert recording.usage.wall_seconds == pytest.approx(0.2, abs=0.2)
    assert (told["before"]["asked"], told["after"]["asked"]) == (1, 2)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/debug/pprof/profile?seconds=0", "seconds 0: must be a number from 0.05 to 300"),
        ("/debug/pprof/profile?seconds=301", "seconds 301: must be a number from 0.05 to 300"),
        ("/debug/pprof/profile?seconds=nan", "seconds nan: must be a number from 0.05 to 300"),
        ("/debug/pprof/profile?hz=5000", "hz 5000: must be a number from 1 to 1000"),
        ("/debug/pprof/profile?hz=often", "hz often: must be a number from 1 to 1000"),
        ("/debug/pprof/profile?format=svg", "format svg: must be one of pprof, speedscope, collapsed, json"),
        ("/debug/pprof/heap?seconds=61", "seconds 61: must be a number from 0.05 to 60"),
        ("/debug/pprof/heap?seconds=1&format=json", "format json: must be one of pprof, collapsed"),
        ("/debug/tasks?format=dot", "format dot: must be one of text, json"),
    ],
)
async def test_what_is_not_allowed_is_named_with_its_value(path: str, line: str) -> None:
    async with served() as admin:
        answer = await admin.get(path)
        assert (answer.status, answer.body.decode()) == (400, f"{line}\n")


async def test_one_at_a_time_and_the_other_hears_for_how_long() -> None:
    async with served() as admin, trio.open_nursery() as nursery:
        nursery.start_soon(admin.get, "/debug/pprof/profile?seconds=20")
        await admin.busy()
        for path in ("/debug/pprof/profile?seconds=1", "/debug/pprof/heap?seconds=1"):
            answer = await admin.get(path)
            assert answer.status == 409
            assert answer.body.startswith(b"a profile of 20 s is being taken and needs 19.") or b" needs 20.0 s more" in answer.body
        assert (await admin.get("/debug/tasks")).status == 200
        nursery.cancel_scope.cancel()


async def test_who_hangs_up_ends_the_profile() -> None:
    async with served() as admin:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(admin.get, "/debug/pprof/profile?seconds=200")
            await admin.busy()
            nursery.cancel_scope.cancel()
        await admin.idle()
        assert not Sampler.is_running()
        assert (await admin.get("/debug/pprof/profile?seconds=0.05&format=collapsed")).status == 200


async def test_a_profile_that_the_process_takes_otherwise_is_in_the_way() -> None:
    sampler = Sampler(100)
    sampler.start()
    try:
        async with served() as admin:
            answer = await admin.get("/debug/pprof/profile?seconds=0.1")
    finally:
        sampler.stop()
    assert (answer.status, answer.body) == (409, b"this process is being profiled already: one profile at a time\n")


async def test_allocations_are_traced_only_for_the_seconds_asked_for() -> None:
    async with busy_server() as admin:
        answer = await admin.get("/debug/pprof/heap")
        assert (answer.status, b"/debug/pprof/heap?seconds=5" in answer.body) == (400, True)
        read = Read(gzip.decompress((await admin.get("/debug/pprof/heap?seconds=0.1")).body))
        assert read.kinds[1] == ("inuse_space", "bytes")
        lines = (await admin.get("/debug/pprof/heap?seconds=0.1&format=collapsed")).body.decode().splitlines()
        assert lines
        assert all(line.rpartition(" ")[2].isdigit() for line in lines)


async def test_the_tree_of_tasks_is_text_or_json() -> None:
    async with busy_server() as admin:
        text = (await admin.get("/debug/tasks")).body.decode()
        assert "AdminServer._accept" in text
        assert "burn: " in text
        assert json.loads((await admin.get("/debug/tasks?format=json")).body)["name"] == "<init>"


@pytest.mark.parametrize("page", ["/debug/pprof/profile?seconds=0.1&bogus=1", "/debug/pprof/heap?bogus=1", "/debug/tasks?bogus=1"])
async def test_a_misspelt_parameter_is_told_and_not_left_out(page: str) -> None:
    async with served() as admin:
        answer = await admin.get(page)
        assert (answer.status, answer.body[:26]) == (400, b"bogus: no such parameter; ")
        assert admin.profiling.parameters.keys() == admin.profiling.routes.keys()
