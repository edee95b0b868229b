# ruff: noqa: INP001 - one file to read and to run, part of no package
"""A Triskele client in one file, from docs/wire.md alone: it uses cbor2, Trio and trio-websocket, and nothing of Triskele's.

    python docs/examples/websocket_client.py ws://127.0.0.1:7500/ ws://127.0.0.1:7501/ ws://127.0.0.1:7502/

Opens a session, writes and reads a key strongly and causally, says how each came about, and ends with 0 if every answer was right.  Name
every replica of the cluster: without some, strong commands go the slow way, and without a majority they do not go at all.

To be read, not to be used: one session, one command at a time.
"""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Any

import cbor2
import trio
import trio_websocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PROTOCOL_VERSION = 3
HELLO = ["triskele", PROTOCOL_VERSION, "", "", "client", 0, 0, 0, []]  # any cluster, any mode
MESSAGE_BYTES_MAX = 16 << 20

OPEN_SESSION, CLOSE_SESSION, HOME, RECORD, STRONG_READ, ANCHOR, READ_INDEX, CAUSAL_READ, PING = 1, 2, 4, 5, 6, 7, 8, 9, 10
SESSION_OPENED, RECORD_ACK, SPEC_REPLY, APPLIED, STRONG_READ_REPLY, ANCHOR_ACK, CAUSAL_READ_REPLY, LEADER, PONG = 11, 12, 13, 14, 15, 16, 17, 18, 19
PUT, CAUSAL = 0, 0x80

RESEND_SECONDS = 0.25
GIVE_UP_SECONDS = 10.0


class Refused(Exception):
    """The cluster does not want this client or its session."""


class Client:
    """One session with a cluster."""

    def __init__(self) -> None:
        """Know nobody yet."""
        self.links: dict[int, trio_websocket.WebSocketConnection] = {}
        self.voters: list[int] = []
        self.mode = ""
        self.view = (0, -1)  # (configuration, view)
        self.leader = -1
        self.home = -1
        self.news = trio.Event()  # set, and replaced, when a frame has come
        # The session.
        self.token = secrets.token_bytes(16)
        self.session = 0
        self.number = 0  # of its last command
        self.reads = 0  # number of its last read
        self.witnessed = 0  # its last command that all voters were sent
        self.floor = 0
        self.committed = 0
        self.settled = 0  # likewise, by the word of no later view than ours: a later leader may have put others' commands before it
        self.held: dict[int, int] = {}  # {voter: it holds everything up to this command}
        self.pending: dict[bytes, tuple[int, bytes]] = {}  # {key: (number, value) of the newest own write}
        self.answers: dict[int, tuple[Any, int, int]] = {}  # {read: (value, version, own commands applied there)}
        self.lagging: set[int] = set()  # reads that came too early
        # What counts in one view only.
        self.speculated: set[int] = set()
        self.accepted: dict[int, int] = {}  # {voter: accepted up to this command}
        self.confirmed: dict[int, tuple[int, int]] = {}  # {voter: (read, command up to which the chain is anchored)}
        self.indexed: set[int] = set()  # reads that need no confirmation

    # ------------------------------------------------------------------------------------------------------------------------ links

    async def connect(self, url: str) -> None:
        """Shake hands with one replica and take its frames until the link ends."""
        async with trio_websocket.open_websocket_url(url, max_message_size=MESSAGE_BYTES_MAX) as link:
            await link.send_message(cbor2.dumps(HELLO))
            hello = await next_payload(link)
            if hello[0] == "refused":
                raise Refused(f"{url}: {hello[1]}: {hello[2]}")
            _name, _version, _cluster, self.mode, _role, replica, _incarnation, _config, self.voters = hello
            self.links[replica] = link
            try:
                while True:
                    _incarnation, *sections = await next_payload(link)
                    for tag, *fields in sections:
                        self.receive(replica, tag, fields)
                    self.news.set()
                    self.news = trio.Event()
            finally:
                del self.links[replica]

    async def connect_if_there(self, url: str) -> None:
        """Go without a replica that cannot be reached."""
        try:
            await self.connect(url)
        except (OSError, trio_websocket.HandshakeError, trio_websocket.ConnectionClosed) as error:
            say(f"no link to {url}: {error!r}")

    async def send(self, replicas: Iterable[int], *section: Any) -> None:
        """Send one section, a frame of its own, to those replicas that we have a link to."""
        payload = cbor2.dumps([0, section])
        for replica in replicas:
            if replica in self.links:
                await self.links[replica].send_message(payload)

    async def until(self, outcome: Callable[[], Any], send: Callable[[int], Any]) -> Any:
        """Send, wait for the outcome, send again when nothing happens: all requests may be repeated."""
        with trio.fail_after(GIVE_UP_SECONDS):
            attempt = 0
            while True:
                await send(attempt)
                attempt += 1
                with trio.move_on_after(RESEND_SECONDS):
                    while True:
                        found = outcome()
                        if found is not None:
                            return found
                        await self.news.wait()

    # -------------------------------------------------------------------------------------------------------------------- what comes in

    def receive(self, replica: int, tag: int, fields: list[Any]) -> None:
        """Take one section; what it says of our session is cumulative, so that repeats and old news do no harm."""
        if tag == LEADER:
            config, view, leader = fields
            self.see_view(config, view)
            if (config, view) == self.view and leader >= 0:
                self.leader = leader
        elif tag == PONG and self.home < 0:
            self.home = replica  # the first to answer is the nearest
        elif tag == SESSION_OPENED and self.token in fields[0]:
            self.session = fields[1][fields[0].index(self.token)]
            if not self.session:
                raise Refused("too many sessions")
        elif tag == APPLIED:
            config, view, _from_leader, _position, sessions, upto, _results = fields
            told = max((n for session, n in zip(sessions, upto, strict=True) if session == self.session), default=0)
            self.committed = max(self.committed, told)
            if (config, view) <= self.view:
                self.settled = max(self.settled, told)
        elif tag == CAUSAL_READ_REPLY:
            _position, horizon, _sessions, firsts, counts, applied, values, versions, lagging = fields
            for place, first in zip(starts(counts), firsts, strict=True):
                self.answers[first] = (values[place], max(versions[place], horizon), applied[0])
            self.lagging |= {first for _session, first, _count in lagging}
        elif tag in {RECORD_ACK, SPEC_REPLY, STRONG_READ_REPLY, ANCHOR_ACK}:
            config, view, *rest = fields
            self.see_view(config, view)
            if tag == RECORD_ACK:
                self.receive_verdict(replica, rest, same_view=(config, view) == self.view)
            elif (config, view) == self.view:
                self.receive_of_view(replica, tag, rest)

    def see_view(self, config: int, view: int) -> None:
        """Start anew in a newer view: answers of different views never combine."""
        if (config, view) > self.view:
            self.view = (config, view)
            for tally in (self.speculated, self.accepted, self.confirmed, self.indexed):
                tally.clear()

    def receive_verdict(self, voter: int, fields: list[Any], *, same_view: bool) -> None:
        """Take a RecordAck: what a voter holds counts in any view, what it accepted in the present one."""
        sessions, held, accepted, refusals = fields
        for session, holds, accepts in zip(sessions, held, accepted, strict=True):
            if session == self.session:
                self.held[voter] = max(self.held.get(voter, 0), holds)
                if same_view:
                    self.accepted[voter] = max(self.accepted.get(voter, 0), accepts)
        for _session, reason in refusals:
            if reason > 2:  # noqa: PLR2004 - 1 and 2 are GAP and BUSY: we send again anyway
                raise Refused(f"session refused, reason {reason}")

    def receive_of_view(self, replica: int, tag: int, fields: list[Any]) -> None:
        """Take what counts in the present view only."""
        if tag == SPEC_REPLY:
            _position, _sessions, firsts, counts, _results = fields
            for first, count in zip(firsts, counts, strict=True):
                self.speculated |= set(range(first, first + count))
        elif tag == ANCHOR_ACK:
            _sessions, reads, anchored = fields
            self.confirmed[replica] = (reads[0], anchored[0])
        elif tag == STRONG_READ_REPLY:
            indexed, horizon, _sessions, firsts, counts, values, versions = fields
            for place, first in zip(starts(counts), firsts, strict=True):
                self.answers[first] = (values[place], max(versions[place], horizon), self.number)
                if indexed:
                    self.indexed.add(first)

    # -------------------------------------------------------------------------------------------------------------------- what is asked

    def others(self) -> list[int]:
        """All voters but the leader."""
        return [voter for voter in self.voters if voter != self.leader]

    def fast_others(self) -> int:
        """How many voters beside the leader make a fast quorum: 2 of 3, 3 of 5; changes of the members make even numbers too."""
        majority = len(self.voters) // 2 + 1
        return (2 * len(self.voters) - majority) // 2

    async def open_session(self) -> int:
        """Learn who leads, choose the nearest replica as home, open the session and bind it there."""
        await self.until(lambda: None if self.leader < 0 or self.home < 0 else True, lambda _: self.send(self.voters, PING, 1))
        await self.until(lambda: self.session or None, lambda _: self.send([self.leader], OPEN_SESSION, [self.token], 30.0))
        await self.send([self.home], HOME, [self.session], True)  # noqa: FBT003 - the field's value
        return self.session

    async def put(self, key: bytes, value: bytes, *, causal: bool = False) -> str:
        """Write a value; returns how it completed: ``fast``, ``slow`` or ``held``."""
        causal = causal and self.mode in {"ho", "ht"}
        self.number += 1
        number, witnessed = self.number, self.witnessed
        leader_alone = self.mode == "paxos" or (self.mode == "ht" and causal)
        if not leader_alone:
            self.witnessed = number
        self.pending[key] = (number, value)
        kinds = bytes([PUT | CAUSAL if causal else PUT])

        async def send(_attempt: int) -> None:
            run = [self.session], [number], [1]
            if not leader_alone:
                previous = witnessed if self.mode == "ht" else number - 1
                await self.send(self.others(), RECORD, *run, [previous], [number], kinds, [key], [value])
            await self.send([self.leader], RECORD, *run, [number - 1], [number], kinds, [key], [value])

        def outcome() -> str | None:
            if causal and self.held.get(self.leader if self.mode == "ht" else self.home, 0) >= number:
                return "held"
            accepting = [voter for voter in self.others() if self.accepted.get(voter, 0) >= number]
            if number in self.speculated and len(accepting) >= self.fast_others():
                return "fast"
            return "slow" if self.committed >= number else None

        return str(await self.until(outcome, send))

    async def strong_read(self, key: bytes) -> bytes | None:
        """Read what every write that completed before, anywhere, has left."""
        self.reads += 1
        read, dependency = self.reads, self.number

        async def send(attempt: int) -> None:
            tag = READ_INDEX if attempt else STRONG_READ  # the long way, if the short one met silence
            await self.send([self.leader], tag, [self.session], [read], [1], [dependency], [key])
            await self.send(self.others(), ANCHOR, [self.session], [dependency], [read])

        def outcome() -> bool | None:
            confirmed = [self.confirmed.get(voter, (0, 0)) for voter in self.others()]
            anchors = [anchored for seen, anchored in confirmed if seen >= read]
            authority = len(anchors) >= len(self.voters) // 2 and (dependency <= self.settled or self.mode == "paxos")
            pinned = sum(anchored >= dependency for anchored in anchors) >= self.fast_others()
            return True if read in self.answers and (read in self.indexed or pinned or authority) else None

        await self.until(outcome, send)
        value, version, _ = self.answers.pop(read)
        self.floor = max(self.floor, version)
        return value  # type: ignore[no-any-return]

    async def causal_read(self, key: bytes) -> bytes | None:
        """Read what this session has seen and written, or something newer."""
        if self.mode not in {"ho", "ht"}:
            return await self.strong_read(key)
        self.reads += 1
        read = self.reads

        async def send(attempt: int) -> None:
            self.lagging.discard(read)
            place = self.voters.index(self.home) + attempt  # another replica, if the home lags or is silent
            await self.send([self.voters[place % len(self.voters)]], CAUSAL_READ, [self.session], [read], [1], [self.floor], [key])

        await self.until(lambda: True if read in self.answers else None, send)
        value, version, applied = self.answers.pop(read)
        self.floor = max(self.floor, version)
        number, own = self.pending.get(key, (0, b""))
        return own if number > applied else value


async def next_payload(link: trio_websocket.WebSocketConnection) -> Any:
    """Receive and decode one frame."""
    message = await link.get_message()
    assert isinstance(message, bytes)
    return cbor2.loads(message)


def starts(counts: list[int]) -> list[int]:
    """Where each run begins in the flat columns."""
    return [sum(counts[:run]) for run in range(len(counts))]


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def demonstrate(client: Client) -> bool:
    """Write and read; return whether every answer was right."""
    say(f"session {await client.open_session()}, mode {client.mode}, leader {client.leader}, home {client.home}")
    key, other = b"example/" + client.token, b"example/causal/" + client.token
    right = []
    for value in (b"one", b"two"):
        say(f"strong put {value!r}: {await client.put(key, value)}")
        read = await client.strong_read(key)
        say(f"strong read: {read!r}")
        right.append(read == value)
    for value in (b"three", b"four"):
        say(f"causal put {value!r}: {await client.put(other, value, causal=True)}")
        read = await client.causal_read(other)
        say(f"causal read: {read!r}")
        right.append(read == value)
    read = await client.strong_read(other)
    say(f"strong read of the causal write: {read!r}")
    right.append(read == b"four")
    read = await client.causal_read(b"example/nothing")
    say(f"causal read of a key that nobody wrote: {read!r}")
    right.append(read is None)
    await client.send([client.leader], CLOSE_SESSION, [client.session])
    return all(right)


async def main(urls: list[str]) -> int:
    """Run the demonstration over links to all replicas."""
    client = Client()
    async with trio.open_nursery() as nursery:
        for url in urls:
            nursery.start_soon(client.connect_if_there, url)
        right = await demonstrate(client)
        nursery.cancel_scope.cancel()
    say("every answer was right" if right else "FAILED")
    return 0 if right else 1


def run(urls: list[str]) -> int:
    """Run ``main`` and say in words why it could not finish."""
    try:
        return trio.run(main, urls)
    except* Refused as errors:
        say(f"FAILED: {errors.exceptions[0]}")
    except* trio.TooSlowError:
        say(f"FAILED: no answer within {GIVE_UP_SECONDS} s")
    return 1


if __name__ == "__main__":
    if len(sys.argv) < 2 or not all(url.startswith("ws://") for url in sys.argv[1:]):  # noqa: PLR2004 - the program and one address
        sys.exit(f"usage: {sys.argv[0]} ws://host:port/ ...   (every replica of the cluster)")
    sys.exit(run(sys.argv[1:]))
