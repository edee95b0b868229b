"""The sections of a profile's report, every word and figure of them made from what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from triskele.profile.analysis import SYSCALLS, error_of
from triskele.profile.areas import AREAS, GARBAGE
from triskele.profile.document import Bullets, Heading, Paragraph, Table
from triskele.profile.verdicts import harmless, key_findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from triskele.profile.document import Block

    Result = dict[str, Any]
    Process = dict[str, Any]

TOP = 25
"""Functions of each list."""
OUTER = 0.98
"""What is in this share of all stacks or more is how the program starts, and no news."""


def sections(result: Result) -> list[Block]:
    """Return the report of a result (schema ``triskele.profile/1``)."""
    processes: Sequence[Process] = result["processes"]
    return [
        Heading("Profile (PARTIAL)" if result["missing"] else "Profile", 1),
        Paragraph(_what(result)),
        *_missing(result),
        Heading("Summary"),
        Bullets(key_findings(result)),
        *_utilisation(processes, result),
        *_shares(processes),
        *(block for process in processes for block in _functions(process)),
        *_calls(processes),
        *_memory(processes),
        Heading("What is not a bottleneck"),
        Bullets(harmless(result) or ["nothing that was measured can be ruled out"]),
        *_method(result),
    ]


def _what(result: Result) -> str:
    load = result["load"]
    if not load:
        return f"{result['seconds']:g} s of a running cluster; no load of our own."
    settings = load["settings"]
    streams = f"{settings['clients']} client processes x {settings['threads']} streams x {settings['pendings']} in flight"
    done = f"{load['operations']:,} operations in {load['duration_seconds']:.1f} s ({load['throughput_per_second']:,.0f} a second)"
    return (
        f"{result['seconds']:g} s under load: {streams}, workload {settings['workload']}; {done}, failed {load['failed']}, unknown {load['unknown']}."
    )


def _missing(result: Result) -> Iterator[Block]:
    """Tell who is not in the report."""
    if result["missing"]:
        yield Paragraph("**Partial**: not every replica could be sampled, and what is said of the cluster leaves these out.")
        yield Bullets([f"replica {number}: {why}" for number, why in sorted(result["missing"].items())])


def percent(share: float) -> str:
    """Return a share in words."""
    return f"{share:.1%}" if share < 1 else f"{share:.0%}"


def figure(value: float | None, digits: int = 2) -> str:
    """Return a number, a dash for none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def title(process: Process) -> str:
    """Return a process's name and role."""
    return f"{process['name']} ({process['role']})" if process["role"] and process["role"] not in process["name"] else str(process["name"])


def _utilisation(processes: Sequence[Process], result: Result) -> Iterator[Block]:
    yield Heading("Utilisation")
    yield Paragraph(
        "Of one core each, clients of one for each of their processes. Waiting: the main thread could have run and had no core. Idle is the rest."
    )
    rows = []
    for process in processes:
        whole = process["wall_seconds"] * process["processes"]
        cpu, waiting = process["cpu_seconds"] / whole, process["waiting_seconds"]
        idle = None if waiting is None else max(0.0, 1 - cpu - waiting / whole)
        split = process["user_seconds"] + process["system_seconds"] or 1.0
        rows.append(
            [
                title(process),
                percent(cpu),
                percent(process["system_seconds"] / split),
                "-" if waiting is None else percent(waiting / whole),
                percent(max(0.0, 1 - cpu)) if idle is None else percent(idle),
                figure(process["cpu_us_per_operation"]),
                f"{process['switches']['voluntary'] / whole:,.0f}",
                f"{process['switches']['involuntary'] / whole:,.0f}",
            ]
        )
    heads = ["process", "cpu", "of it kernel", "waiting for a core", "idle", "cpu us/operation", "offered its core /s", "lost its core /s"]
    yield Table(heads, rows)
    used = sum(process["cpu_seconds"] / process["wall_seconds"] for process in processes)
    yield Paragraph(f"Together {used:.2f} of {result['machine']['cores']} cores; the machine was {percent(result['machine_idle'])} idle.")


def _shares(processes: Sequence[Process]) -> Iterator[Block]:
    yield Heading("Shares by area")
    heads = ["area", *(head for process in processes for head in (title(process), "us/op"))]
    rows = []
    for area in AREAS:
        cells = [area]
        for process in processes:
            per_operation = process["cpu_us_per_operation"]
            cells += [percent(process["areas"][area]), figure(None if per_operation is None else per_operation * process["areas"][area])]
        rows.append(cells)
    whole = ["together"]
    for process in processes:
        whole += [percent(sum(process["areas"].values())), figure(process["cpu_us_per_operation"])]
    yield Table(heads, [*rows, whole])
    yield Bullets([f"{area}: {meaning}" for area, meaning in AREAS.items()])


def _functions(process: Process) -> Iterator[Block]:
    rows = [row for row in process["functions"] if row["own"]]
    yield Heading(f"{title(process)}: top functions by own time")
    table, running = [], 0.0
    for row in rows[:TOP]:
        running += row["own"]
        error = error_of(row["own"], process["samples"])
        cells = [_name(row), _where(row), row["hottest"], row["area"], f"{row['own']:.1%} ± {error:.1%}", percent(running), percent(row["total"])]
        table.append([*cells, _per_operation(process, row["own"])])
    yield Table(["function", "file:line", "most of it at", "area", "own", "sum", "cumulative", "own us/op"], table, words=4)
    yield Heading(f"{title(process)}: top functions by cumulative time")
    by_total = sorted(process["functions"], key=lambda row: (-row["total"], -row["own"]))
    inner = [row for row in by_total if row["total"] < OUTER][:TOP]
    yield Table(
        ["function", "file:line", "cumulative", "own", "cumulative us/op"],
        [[_name(row), _where(row), percent(row["total"]), percent(row["own"]), _per_operation(process, row["total"])] for row in inner],
        words=2,
    )


def _name(row: dict[str, Any]) -> str:
    return f"[{row['name']}]" if row["native"] else str(row["name"])


def _where(row: dict[str, Any]) -> str:
    return str(row["file"]) if row["native"] else f"{row['file']}:{row['line']}"


def _per_operation(process: Process, share: float) -> str:
    per_operation = process["cpu_us_per_operation"]
    return figure(None if per_operation is None else per_operation * share)


def _calls(processes: Sequence[Process]) -> Iterator[Block]:
    counted = [process for process in processes if process["calls"]]
    if not counted:
        return
    yield Heading("System calls per operation")
    rows = []
    for process in counted:
        cells = [figure(process["calls_per_operation"][kind], 4) for kind in SYSCALLS]
        total = sum(process["calls"].values())
        whole = total / process["operations"] if process["operations"] else None
        rows.append([title(process), *cells, figure(whole, 4), f"{total / process['wall_seconds']:,.0f}"])
    yield Table(["process", *SYSCALLS, "together", "calls/s"], rows)
    yield Paragraph(f"Operations: {counted[0]['operations_are']}. Calls are counted where they are made, failed ones included.")


def _memory(processes: Sequence[Process]) -> Iterator[Block]:
    yield Heading("Allocation and collector")
    rows = []
    for process in processes:
        memory, collector, wall = process["memory"], process["collector"], process["wall_seconds"]
        rows.append(
            [
                title(process),
                f"{memory['rss_bytes'] / wall / 2**20:+.2f}",
                f"{memory['blocks'] / wall:+,.0f}",
                figure(memory["blocks_per_operation"], 3),
                f"{collector['collections'] / wall:.2f}",
                f"{collector['freed'] / wall:,.0f}",
                percent(collector["seconds"] / (wall * process["processes"])),
                percent(process["areas"][GARBAGE]),
                f"{collector['pause_seconds_max'] * 1e3:.2f}",
            ]
        )
    heads = [
        "process",
        "resident MiB/s",
        "blocks/s",
        "blocks/operation",
        "collections/s",
        "garbage found /s",
        "paused",
        "of cpu",
        "longest pause, ms",
    ]
    yield Table(heads, rows)
    yield Paragraph(
        "Resident memory and blocks are what came and stayed: CPython does not count what was allocated and freed again. "
        "Which lines keep memory: `/debug/pprof/heap?seconds=5` of a replica's admin."
    )


def _method(result: Result) -> Iterator[Block]:
    yield Heading("How this was measured")
    machine = result["machine"]
    samples = ", ".join(f"{process['name']} {process['samples']:,}" for process in result["processes"])
    costs = ", ".join(
        f"{process['name']} {percent(process['sampling_seconds'] / process['cpu_seconds'] if process['cpu_seconds'] else 0.0)}"
        for process in result["processes"]
    )
    yield Bullets(
        [
            f"machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}, {machine['python']}",
            f"version {result['version']}, commit {result['commit'] or 'unknown'}",
            f"sampled {result['hz']:g} times in a second of processor time (SIGPROF); samples: {samples}",
            f"taking the samples took, of the processes' own time: {costs}",
            "a share's ± is one standard error; [names in brackets] are native code, by the name it is called by",
            "time spent waiting has no samples: it shows as idle above, and in no function",
        ]
    )
