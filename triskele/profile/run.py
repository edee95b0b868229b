"""One profile from settings to result: the cluster, the load if there is one, the samples, what they say."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

import attrs

from loadgen.machine import commit, machine, package_version
from replica.cluster_file import parse_cluster
from replica.config import SettingError
from replica.profiling.recording import Recording, merge
from triskele.cli.framework import Command, make_parser
from triskele.profile.analysis import Subject, analyse
from triskele.profile.folder import SCHEMA
from triskele.profile.gathering import Gathering, ProfileFailed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from loadgen.settings import LoadSettings
    from replica.config import Settings

TAIL_SECONDS = 0.5
"""The load's window is so much longer than the replicas' samples: asking them takes a moment."""

Result = dict[str, Any]


@attrs.frozen(kw_only=True)
class ProfileSettings:
    """What to profile.

    Attributes:
        cluster: addresses or a file; empty with a cluster of our own.
        seconds: how long.
        hz: samples in a second of processor time.
        load: flags of ``triskele load``; None: no load of our own.
    """

    cluster: str
    seconds: float
    hz: float
    load: str | None


@attrs.frozen
class Profiled:
    """What came of it: the result, the samples by file name, and those to draw."""

    result: Result
    recordings: dict[str, Recording]
    flames: list[tuple[str, Recording]]


def load_of(settings: ProfileSettings) -> tuple[LoadSettings, Settings]:
    """Return the settings of the load, and of a cluster of our own.

    Raises:
        SettingError: A flag of the load is wrong, or says what ``triskele profile`` says.
    """
    from loadgen.settings import add_load_flags, load_settings

    parser = make_parser(Command("load", "", ""), ("", ""))
    add_load_flags(parser)
    arguments: argparse.Namespace = parser.parse_args(shlex.split(settings.load or ""))
    for name in ("seconds", "operations", "cluster"):
        if getattr(arguments, name) is not None:
            raise SettingError(
                "--load", f"--{name}", f"belongs to triskele profile itself: give --{'cluster' if name == 'cluster' else 'seconds'} there"
            )
    arguments.seconds = repr(settings.seconds + TAIL_SECONDS)
    if settings.cluster and not arguments.local:
        arguments.cluster = settings.cluster
    environment = {name: value for name, value in os.environ.items() if name not in {"TRISKELE_SECONDS", "TRISKELE_OPERATIONS"}}
    return load_settings(arguments, environment)


async def profile(settings: ProfileSettings) -> Profiled:
    """Take a profile.

    Raises:
        SettingError: A setting is wrong.
        ProfileFailed: No replica could be sampled.
        LoadFailed: The load failed.
    """
    if settings.load is None:
        gathering = Gathering(parse_cluster(settings.cluster), settings.seconds, settings.hz)
        sys.stderr.write(f"sampling {len(gathering.cluster.replicas)} replicas for {settings.seconds:g} s\n")
        await gathering.sample_all()
        return put_together(settings, gathering, None, [])
    from loadgen.cli import target, told
    from loadgen.profiled import profiled_load
    from loadgen.progress import Progress
    from loadgen.settings import CLUSTER_FLAGS

    load, cluster_settings = load_of(settings)
    progress = Progress(load.clients, load.seconds, 0, None if load.quiet else sys.stderr)
    async with target(load, cluster_settings, progress) as cluster:
        gathering = Gathering(cluster, settings.seconds, settings.hz)
        result, clients = await profiled_load(load, cluster, progress, gathering.sample_all, settings.hz)
    result["settings"] |= {name: getattr(cluster_settings, name) for name in CLUSTER_FLAGS} if load.local else told(cluster)
    return put_together(settings, gathering, result, clients)


def put_together(settings: ProfileSettings, gathering: Gathering, load: Result | None, clients: Sequence[Recording]) -> Profiled:
    """Work out what the samples say.

    Raises:
        ProfileFailed: There are none.
    """
    if not gathering.found:
        reasons = "; ".join(f"replica {number}: {why}" for number, why in sorted(gathering.missing.items()))
        raise ProfileFailed(f"profile: no replica could be sampled: {reasons}")
    recordings = {f"replica-{sampled.id}": sampled.recording for sampled in gathering.found}
    rate = load["throughput_per_second"] if load else 0.0
    subjects = [
        Subject(
            name=f"replica-{sampled.id}",
            role=sampled.role,
            recordings=(sampled.recording,),
            operations=rate * sampled.recording.usage.wall_seconds,
            before=sampled.before,
            after=sampled.after,
        )
        for sampled in gathering.found
    ]
    whole = {subject.name: subject.recordings[0] for subject in subjects}
    if clients:
        recordings |= {f"client-{number}": recording for number, recording in enumerate(clients)}
        operations = rate * max(recording.usage.wall_seconds for recording in clients)
        subjects.append(Subject(name="clients", role="client", recordings=tuple(clients), operations=operations))
        whole["clients"] = merge(clients)
    result = {
        "schema": SCHEMA,
        "version": package_version(),
        "commit": commit(),
        "machine": machine(),
        "seconds": settings.seconds,
        "hz": settings.hz,
        "load_flags": settings.load,
        "load": load,
        "machine_idle": round(gathering.machine_idle, 4),
        "partial": bool(gathering.missing),
        "missing": gathering.missing,
        "processes": [analyse(subject, whole[subject.name]) for subject in subjects],
    }
    flames = [(f"{subject.name} ({subject.role})" if subject.role not in subject.name else subject.name, whole[subject.name]) for subject in subjects]
    return Profiled(result, recordings, flames)
