"""What is compared: each system's cluster of three on loopback, one measured run of it, and what its answers are worth."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import attrs

from loadgen.figures import RATE, figures_of
from loadgen.report import latencies
from loadgen.workload import WorkloadSettings
from tools.peers_process import START_SECONDS, free_ports, last_line, running, wait_until, worker
from tools.peers_wires import PeerError
from triskele.child import child_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from loadgen.figures import Figures
    from tools.peers_process import Worker

WARMUP_SECONDS: Final = 1.0
_LEAD_SECONDS: Final = 0.2
_MEMBERS: Final = 3


@attrs.frozen
class Point:
    """A load: client processes, streams of each, commands in flight of each stream, and what is other than in the usual workload."""

    clients: int
    threads: int
    pendings: int
    workload: dict[str, Any] = attrs.Factory(dict)

    @property
    def streams(self) -> int:
        """Of all processes."""
        return self.clients * self.threads


POINTS: Final = {
    "1 x 1": Point(1, 1, 1),
    "4 x 15": Point(2, 2, 15),
    "16 x 15": Point(2, 8, 15),
    "64 x 15": Point(2, 32, 15),
    "4 x 128": Point(2, 2, 128),
    "16 x 15 all strong half writes": Point(2, 8, 15, {"causal_percent": 0.0, "write_percent": 50.0}),
}
"""Streams x commands in flight."""


@attrs.frozen
class Run:
    """One run: the point's name, the length of the window, a folder of its own, and where PySyncObj is."""

    point: str
    seconds: float
    folder: Path
    pysyncobj: Path


@attrs.frozen
class System:
    """A system beside others.

    Attributes:
        name: In tables.
        measure: Does one run.
        program: Without which it cannot run here; empty: ours.
        install: How to get it.
        strong, causal: What the workload's strong and causal commands are there.
        linearizable, durable, exactly_once: What holds of a command that was acknowledged.
        only: Points it is measured at; empty: all.
    """

    name: str
    measure: Callable[[Run], Figures]
    program: str
    install: str
    strong: str
    causal: str
    linearizable: str
    durable: str
    exactly_once: str
    only: tuple[str, ...] = ()

    def missing(self, pysyncobj: Path) -> bool:
        """Whether it cannot run here."""
        if self.program == "pysyncobj":
            return not (pysyncobj / "pysyncobj").is_dir() and importlib.util.find_spec("pysyncobj") is None
        return bool(self.program) and shutil.which(self.program) is None


def measure_triskele(**flags: object) -> Callable[[Run], Figures]:
    """Return what runs ``triskele load`` on a cluster of its own, with these flags."""

    def measure(run: Run) -> Figures:
        environment = {name: value for name, value in child_environment().items() if not name.startswith("TRISKELE_")}
        command = [sys.executable, "-P", "-m", "triskele", "load", *load_words(run, **flags)]
        with running(command, run.folder, "load", env=environment) as process:
            try:
                status = process.wait(run.seconds + 3 * START_SECONDS)  # floors take two more clusters
            except subprocess.TimeoutExpired:
                raise PeerError("triskele load did not end") from None
        if status:
            raise PeerError(f"triskele load ended with status {status}: {last_line(run.folder / 'load.log')}")
        return figures_of(json.loads((run.folder / "load.json").read_text(encoding="utf-8")))

    return measure


def load_words(run: Run, **flags: object) -> list[str]:
    """Return the flags of ``triskele load``; one that is True has no value."""
    point = POINTS[run.point]
    load = {"clients": point.clients, "threads": point.threads, "pendings": point.pendings, **point.workload}
    lengths = {"seconds": run.seconds, "warmup_seconds": WARMUP_SECONDS, "json": run.folder / "load.json"}
    words = ["--quiet"]
    for name, value in {"local": _MEMBERS, **load, **lengths, **flags}.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def measure_redis(run: Run) -> Figures:
    """Measure a primary with two replicas; all commands go to the primary."""
    primary, *replicas = ports = free_ports(_MEMBERS)
    common = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]

    def replicated() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", primary), 1) as opened:
                opened.sendall(b"INFO replication\r\n")
                return opened.recv(1 << 16).count(b"state=online") == len(replicas)
        except OSError:
            return False

    with ExitStack() as stack:
        processes = {}
        for port in ports:
            follows = [] if port == primary else ["--replicaof", f"127.0.0.1 {primary}"]
            folder = run.folder / f"redis-{port}"
            folder.mkdir()
            processes[folder.name] = stack.enter_context(
                running([*common, "--dir", str(folder), "--port", str(port), *follows], run.folder, folder.name)
            )
        wait_until(replicated, processes, run.folder)
        return drive(run, "resp", f"127.0.0.1:{primary}")


def measure_etcd(run: Run) -> Figures:
    """Measure three members, durable as they are by default; all commands go to the leader."""
    ports = free_ports(2 * _MEMBERS)
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    cluster = ",".join(f"etcd-{number}={url}" for number, url in enumerate(urls[_MEMBERS:]))
    leaders: list[int] = []

    def elected() -> bool:
        leaders[:] = [port for port in ports[:_MEMBERS] if is_etcd_leader(port)]
        return bool(leaders)

    with ExitStack() as stack:
        processes = {}
        for number, (client, peer) in enumerate(zip(urls[:_MEMBERS], urls[_MEMBERS:], strict=True)):
            name = f"etcd-{number}"
            flags = {
                "name": name, "data-dir": str(run.folder / name), "log-level": "error", "listen-client-urls": client,
                "advertise-client-urls": client, "listen-peer-urls": peer, "initial-advertise-peer-urls": peer, "initial-cluster": cluster,
            }  # fmt: skip
            words = [word for flag, value in flags.items() for word in (f"--{flag}", value)]
            processes[name] = stack.enter_context(running(["etcd", *words], run.folder, name))
        wait_until(elected, processes, run.folder)
        return drive(run, "grpc", f"127.0.0.1:{leaders[0]}")


def is_etcd_leader(port: int) -> bool:
    """Whether the member leads and can tell what is current: just elected, it drops such reads, and they wait for seconds."""
    try:
        status = _asked(port, "/v3/maintenance/status", {})
        return bool(status["leader"] == status["header"]["member_id"] and "header" in _asked(port, "/v3/kv/range", {"key": "a2V5"}))
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return False


def _asked(port: int, path: str, question: dict[str, str]) -> dict[str, Any]:
    """Return the answer of etcd's JSON gateway."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("POST", path, json.dumps(question))
        found: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return found


def measure_pysyncobj(run: Run) -> Figures:
    """Measure three nodes; all streams are in the leader's process."""
    point = POINTS[run.point]
    addresses = [f"127.0.0.1:{port}" for port in free_ports(_MEMBERS)]
    paths = os.pathsep.join([child_environment().get("PYTHONPATH", ""), str(run.pysyncobj.absolute())])
    with ExitStack() as stack:
        nodes = {
            address: stack.enter_context(worker("tools.peers_pysyncobj", run.folder, f"node-{number}", {"PYTHONPATH": paths}))
            for number, address in enumerate(addresses)
        }
        for address, node in nodes.items():
            others = [other for other in addresses if other != address]
            node.tell(address=address, others=others, **share(point, 0, point.streams))
        leaders = [node.answer(START_SECONDS)["leader"] for node in nodes.values()]
        return conduct([nodes[leaders[-1]]], run.seconds)


def drive(run: Run, wire: str, address: str) -> Figures:
    """Measure with client processes of ours: as many as ``triskele load`` has."""
    point = POINTS[run.point]
    with ExitStack() as stack:
        drivers = [stack.enter_context(worker("tools.peers_driver", run.folder, f"driver-{number}")) for number in range(point.clients)]
        for number, driver in enumerate(drivers):
            driver.tell(wire=wire, address=address, **share(point, number * point.threads, point.threads))
        for driver in drivers:
            driver.answer(START_SECONDS)
        return conduct(drivers, run.seconds)


def share(point: Point, first: int, streams: int) -> dict[str, Any]:
    """Return a worker's part of the load."""
    workload = attrs.evolve(WorkloadSettings(streams=point.streams), **point.workload)
    return {"first_stream": first, "streams": streams, "in_flight": point.pendings, "workload": attrs.asdict(workload)}


def conduct(workers: Sequence[Worker], seconds: float) -> Figures:
    """Tell workers that are ready the same window, and return the figures of all of them, named as ``figures_of`` names them."""
    begin = time.monotonic() + _LEAD_SECONDS
    start = begin + WARMUP_SECONDS
    for told in workers:
        told.tell(begin=begin, start=start, end=start + seconds)
    results = [told.answer(seconds + START_SECONDS) for told in workers]
    operations = sum(result["operations"] for result in results)
    by_kind = latencies(results)
    figures: Figures = {f"{kind}_{name}_ms": by_kind[kind][name] for kind in ("strong", "causal") for name in ("p50", "p99")}
    cpu_seconds = sum(result["cpu_seconds"] for result in results)
    figures["client_cpu_us_per_operation"] = 1e6 * cpu_seconds / operations if operations else None
    return {RATE: operations / seconds, **figures, "failed": sum(result["failed"] for result in results), "unknown": 0}


_OURS: Final[dict[str, Any]] = {
    "strong": "strong",
    "causal": "causal, at the nearest replica",
    "linearizable": "strong commands",
    "exactly_once": "yes",
}
_RESENT: Final = "no: sent again, it is done again"
SYSTEMS: Final = {
    "triskele-memory": System(
        "Triskele, memory", measure_triskele(durability="memory", floor=True), "", "",
        **_OURS, durable="no (memory)",
    ),
    "triskele-disk": System(
        "Triskele, disk", measure_triskele(durability="disk"), "", "",
        **_OURS, durable="yes, synced before the answer",
    ),
    "triskele-links": System(
        "Triskele, memory, a link per stream", measure_triskele(durability="memory", links="per-stream"), "", "",
        **_OURS, durable="no (memory)", only=("16 x 15",),
    ),
    "triskele-five": System(
        "Triskele, memory, 5 replicas", measure_triskele(durability="memory", local=5), "", "",
        **_OURS, durable="no (memory)", only=("16 x 15",),
    ),
    "redis": System(
        "Redis, WAIT 1", measure_redis, "redis-server", "apt-get install --no-install-recommends redis-server",
        strong="at the primary: GET; SET, then WAIT 1", causal="as strong ones",
        linearizable="no: a failover may lose what was acknowledged", durable="no (memory)", exactly_once=_RESENT,
    ),
    "etcd": System(
        "etcd, at its leader", measure_etcd, "etcd", "apt-get install --no-install-recommends etcd-server",
        strong="linearizable Range; Put", causal="serializable Range; Put",
        linearizable="strong commands", durable="yes, synced by a majority", exactly_once=_RESENT,
    ),
    "pysyncobj": System(
        "PySyncObj, inside its leader", measure_pysyncobj, "pysyncobj", "python -m pip install --target {folder} pysyncobj",
        strong="through the log, reads too", causal="reads of the node's own table; writes through the log",
        linearizable="strong commands, while no node restarts (its votes are in memory)", durable="no (memory)",
        exactly_once="no: a failed command may be done all the same",
    ),
}  # fmt: skip
"""Who is compared, in the order of the tables."""
