"""Lets happen what reaches a fault point, wakes a task or leads to a state, if it does not happen by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from tests.runtime.run import Run

AT_START = ("hub", "peering", "persistence", "listen", "install", "segments", "hash", "discovery")
"""Tasks that come to few checkpoints after their first ones."""
SNAPSHOTS = ("disk.create", "disk.rename", "disk.remove", "disk.sync_folder", "disk.thread", "snapshotting")
"""What a snapshot comes to."""
LINKS = ("handshake.judge", "link.up", "link.down", "fabric.accept", "fabric.dial", "accepted", "dial")
"""What a link comes to at its beginning or end."""
SLOW_SYNCS = ("batch.persisted", "sync", "syncing")
"""What only a slow disk comes to."""
ELECTIONS = ("electing", "recovering")
SLOW_SECONDS = 0.03
"""Of a sync: a single one shows that it is better not waited for."""


async def provoke(run: Run, what: str, replica: int, attempt: int) -> None:
    """Provoke what a plan waits for, at a point or in a task of a replica."""
    server = run.cluster.servers.get(replica)
    if what.startswith("stop."):
        if server is None:
            await run.begin_anew(replica)
        run.ended.add(replica)
        run.cluster.stop(replica)
    elif what.startswith(("start.", "peering.")) or what in AT_START or run.rng.random() < 0.03 or (server is None and replica not in run.ended):
        await _begin(run, what, replica, attempt)
    elif what.startswith("hash") and server is not None:
        server._hash_wanted.set()
    elif what in LINKS:
        await _renew_links(run, what, replica, attempt)
    elif what in SNAPSHOTS and server is not None:
        server.persistence._snapshot_begun_at -= 1 << 20  # the next look finds that one is due
    elif what in SLOW_SYNCS and run.durable:
        run.cluster.slow_disk(replica, SLOW_SECONDS)
    elif what == "turn.after_write":
        run.cluster.slow_disk(replica, 0.0)
        if server is not None and server.persistence.policy.threaded:  # it takes many quick syncs to forget a slow one, or a new life
            await run.begin_anew(replica)


async def _begin(run: Run, what: str, replica: int, attempt: int) -> None:
    """Start a replica anew; if that alone did not do it, do more."""
    server = run.cluster.servers.get(replica)
    if attempt % 2 and what == "hash" and server is not None:
        server._hash_wanted.set()
    elif attempt % 2 and what == "segments" and server is not None:
        server.persistence._segment_wanted.set()
    elif attempt % 2 and what == "install":
        await fall_behind(run, replica)
    else:
        await run.begin_anew(replica)


async def _renew_links(run: Run, what: str, replica: int, attempt: int) -> None:
    """Let links of a replica end, so that others come: at both ends, or, now and then, at one end only; who dials again may be long about it."""
    server = run.cluster.servers.get(replica)
    if attempt % 4 == 0 and run.rng.random() < 0.1:
        for other in run.others(replica):
            run.cluster.fabric.half_open(other, f"r{replica}")
    elif attempt % 4 == 0:
        for link in list(server.mesh.links) if server is not None else []:
            link.abort("provoked")
    elif attempt % 4 == 3 and "dial" in what:
        await run.begin_anew(replica)
    elif attempt % 4 == 3:
        run.begin_client()


async def provoke_client(run: Run, what: str, attempt: int) -> None:
    """Provoke what a plan waits for, at a point or in a task of the latest client."""
    client = run.latest_client
    if what in {"client.link_up", "client.link_down", "fabric.dial", "dial", "link"}:
        if run.rng.random() < 0.2:
            run.cluster.fabric.half_open(f"r{run.pick()}", f"client{client.index}")
        elif client.driver is not None and attempt % 2 == 0:
            for link in list(client.driver.mesh.links):
                link.abort("provoked")


async def provoke_state(run: Run, state: str, replica: int, attempt: int) -> None:
    """Lead a replica, or another one, into a state."""
    cluster, again = run.cluster, attempt % 5 == 0
    if state in ELECTIONS:
        if again and cluster.leader is not None:
            _silence(run, cluster.leader)
    elif state == "installing" and again:
        await fall_behind(run, replica)
    elif state == "holding commands":
        cluster.fabric.delay(0.001, 0.01)
    elif state in SNAPSHOTS or state in SLOW_SYNCS:
        await provoke(run, state, replica, attempt)


def _silence(run: Run, leader: int) -> None:
    """Let a leader be missed: because it is dead, where that costs nobody's memory; else because it stands still."""
    if run.durable and run.rng.random() < 0.7:
        run.expected.setdefault(leader, None)
        run.ended.add(leader)
        run.cluster.kill(leader)
    else:
        run.cluster.pause(leader)


async def fall_behind(run: Run, replica: int) -> None:
    """Let a replica miss so much that only a snapshot helps: the others keep next to nothing meanwhile."""
    await run.kill(replica)
    with run.stage.short_logs(run.cluster):
        for _ in range(5):
            run.busy()
            await trio.sleep(0.05)
    await run.begin_anew(replica)
