"""Stories: what is done to a cluster, line by line, and what comes of it, as a person would tell it.

A line ``> command`` is done; the lines below it, up to the next command, comment or empty line, are what it gives. Lines starting with ``#``
are for the reader. This is the manner of etcd raft's testdata: a story is read, and a change of behaviour is a change of its text
(``python -m tests.scenarios`` tells them anew). The commands:

    cluster voters=3 mode=ho clients=cd    a fresh cluster, all linked; any setting of the core may be given
    open s1 [d]                            a session of client c (or d), open everywhere
    s1 put k v | put k v causal | delete k | cas k old new | get k ... | get k ... causal | scan a z 9 | flush | close
    deliver c -> r0 [n]                    the oldest frame (n frames) on the way, each in a turn of its own
    drop c -> r0                           all on the way is lost
    settle [c r0 r1]                       everything (among these places) is delivered
    wait 300                               milliseconds pass, and everything is delivered
    pass 300                               milliseconds pass, and nothing is
    cut c - r0 | link c - r0               links break, come back
    isolate r2 | rejoin r2                 all links of a replica
    kill r2 | kill c | restart r2          a replica or a client dies; a replica comes back with what its disk holds
    slow r2 | sync r2                      its disk takes nothing from now on; takes all it was given
    campaign r1                            a replica has waited for its leader long enough
    join r3                                a replica starts that no configuration knows yet
    change r0 add r3 | change r0 add r3 for r1 | change r0 remove r1       a leader is asked to change the members
    show r0 | show s1 | show c             a replica's log, state and chains; a session; by whom a client counts

After each command: what completed, then what was sent. ``settle`` and ``wait`` tell only what completed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from replica.core.reconfiguration import ChangeRefused
from tests.scenarios.cluster import Cluster, Place
from tests.scenarios.describe import Describer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from replica.core.messages import Query
    from replica.core.session import Session


@attrs.define
class Step:
    """One command of a story with what stands around it."""

    comments: list[str]
    """Lines before it, as they are."""
    command: str
    output: list[str]


def parse(lines: list[str]) -> tuple[list[Step], list[str]]:
    """Split a story into its steps and the comments behind the last one."""
    steps: list[Step] = []
    comments: list[str] = []
    for line in lines:
        if line.startswith("> "):
            steps.append(Step(comments, line[2:].strip(), []))
            comments = []
        elif not line or line.startswith("#") or comments or not steps:
            comments.append(line)
        else:
            steps[-1].output.append(line)
    return steps, comments


def tell(path: Path) -> str:
    """Play a story and return its text as it is told now."""
    steps, rest = parse(path.read_text().splitlines())
    stage = Stage()
    lines: list[str] = []
    for step in steps:
        lines += [*step.comments, f"> {step.command}", *stage.do(step.command)]
    return "\n".join([*lines, *rest]).rstrip("\n") + "\n"


class Stage:
    """A cluster and the sessions a story has named."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.sessions: dict[str, Session] = {}
        self.names: dict[int, str] = {}
        self.describer = Describer(self.names)
        self._seen: dict[str, int] = {}
        self.commands: dict[str, Callable[..., list[str]]] = {
            "cluster": self.begin, "open": self.open, "deliver": self.deliver, "drop": self.drop, "settle": self.settle, "wait": self.wait,
            "pass": self.elapse, "cut": self.cut, "link": self.link, "kill": self.kill, "show": self.show, "restart": self.restart,
            "campaign": self.campaign, "isolate": self.isolate, "rejoin": self.rejoin, "slow": self.slow, "sync": self.sync,
            "join": self.join, "change": self.change,
        }  # fmt: skip

    def do(self, line: str) -> list[str]:
        """Do one command; returns what came of it."""
        word, *arguments = line.split()
        self.cluster.journal.clear()
        if word in self.sessions:
            self.submit(self.sessions[word], line.partition(" ")[2], arguments)
            told = self.sent()
        else:
            told = self.commands[word](*arguments)
        assert self.cluster.drops == [], self.cluster.drops
        for replica in self.cluster.replicas.values():
            replica.node.witness.check_invariants()
        return self.completed() + told

    # ------------------------------------------------------------------------------------------------------------- what came of it

    def completed(self) -> list[str]:
        """Tell what completed since the last time."""
        told = []
        for name, process in self.cluster.clients.items():
            told += [self.describer.completion(completion) for completion in process.done[self._seen.get(name, 0) :]]
            self._seen[name] = len(process.done)
        return told

    def sent(self) -> list[str]:
        """Tell what was sent since the command began."""
        frames = [(source, place, self.describer.frame(frame)) for source, place, frame in self.cluster.journal]
        return [f"{_name(source)} -> {_name(place)}: {words}" for source, place, words in frames if words]

    # ------------------------------------------------------------------------------------------------------------------- commands

    def begin(self, *settings: str) -> list[str]:
        """Make the story's cluster."""
        given: dict[str, Any] = dict(setting.split("=") for setting in settings)
        voters, mode, clients = int(given.pop("voters", 3)), given.pop("mode", "ho"), given.pop("clients", "c")
        core: dict[str, Any] = {name: float(value) if "." in value else int(value) for name, value in given.items()}
        self.cluster = Cluster(voters, mode, clients=clients, **core)
        self.sessions.clear()
        self.names.clear()
        self._seen.clear()
        return []

    def open(self, name: str, client: str = "c") -> list[str]:
        """Open a session."""
        (session,) = self.cluster.open(name, client=client)
        self.sessions[name], self.names[session.id] = session, name
        self._seen = {client: len(process.done) for client, process in self.cluster.clients.items()}
        return [f"{name} is session {session.id} at home r{session.home}"]

    def submit(self, session: Session, handle: str, words: list[str]) -> None:
        """Submit a session's command or read."""
        cluster, causal = self.cluster, words[-1] == "causal"
        what, *arguments = words[:-1] if causal else words
        parts = [argument.encode() for argument in arguments]
        match what:
            case "put":
                cluster.put(session, parts[0], parts[1], handle, causal=causal)
            case "delete":
                cluster.delete(session, parts[0], handle, causal=causal)
            case "cas":
                cluster.cas(session, parts[0], None if parts[1] == b"-" else parts[1], parts[2], handle)
            case "get" | "scan":
                asked: list[Query] = [*parts] if what == "get" else [[parts[0], None if parts[1] == b"-" else parts[1], int(arguments[2])]]
                (cluster.causal_read if causal else cluster.strong_read)(session, *asked, handle=handle)
            case "flush":
                session.flush(handle)
                cluster.turn(cluster.owner(session))
            case "close":
                owner = cluster.owner(session)
                session.client.close_session(session)
                cluster.turn(owner)
            case _:
                raise AssertionError(f"no session does {what!r}")

    def deliver(self, source: str, arrow: str, place: str, frames: str = "1") -> list[str]:
        """Deliver frames that are on their way."""
        assert arrow == "->"
        for _ in range(int(frames)):
            if not self.cluster.queues.get((_place(source), _place(place))):
                return [*self.sent(), "nothing is on its way"]
            self.cluster.deliver(_place(source), _place(place))
        return self.sent()

    def drop(self, source: str, arrow: str, place: str) -> list[str]:
        """Lose what is on its way."""
        assert arrow == "->"
        lost = [self.describer.frame(frame) for frame in self.cluster.drop(_place(source), _place(place))]
        return [f"lost: {words}" for words in lost if words]

    def settle(self, *places: str) -> list[str]:
        """Deliver everything."""
        self.cluster.settle(*map(_place, places))
        return []

    def wait(self, milliseconds: str) -> list[str]:
        """Let time pass and deliver everything."""
        self.cluster.run(int(milliseconds) / 1000, delay=max(0.0005, int(milliseconds) / 100_000))
        return []

    def elapse(self, milliseconds: str) -> list[str]:
        """Let time pass without any delivery."""
        self.cluster.advance(int(milliseconds) / 1000)
        return self.sent()

    def cut(self, one: str, _between: str, other: str) -> list[str]:
        """Break a link."""
        self.cluster.cut(_place(one), _place(other))
        return self.sent()

    def link(self, one: str, _between: str, other: str) -> list[str]:
        """Bring a link up."""
        self.cluster.link(_place(one), _place(other))
        return self.sent()

    def kill(self, place: str) -> list[str]:
        """A replica or a client dies."""
        self.cluster.kill(_place(place))
        return self.sent()

    def restart(self, place: str) -> list[str]:
        """A replica comes back."""
        self.cluster.restart(_replica(place))
        return self.sent()

    def campaign(self, place: str) -> list[str]:
        """A replica asks for votes."""
        self.cluster.campaign(_replica(place))
        return self.sent()

    def isolate(self, place: str) -> list[str]:
        """A replica loses all its links."""
        self.cluster.isolate(_place(place))
        return self.sent()

    def rejoin(self, place: str) -> list[str]:
        """A replica gets its links back."""
        self.cluster.rejoin(_place(place))
        return self.sent()

    def join(self, place: str) -> list[str]:
        """A replica starts that is to join."""
        self.cluster.join(_replica(place))
        return self.sent()

    def change(self, leader: str, what: str, member: str, _for: str = "", replaced: str = "r-1") -> list[str]:
        """A leader is asked for a change of the members."""
        reconfiguration = self.cluster.replicas[_replica(leader)].reconfiguration
        assert reconfiguration is not None, f"{leader} does not lead"
        try:
            if what == "add":
                reconfiguration.add(_replica(member), member, int(replaced[1:]))
            else:
                reconfiguration.remove(_replica(member))
        except ChangeRefused as refused:
            return [f"refused: {refused}"]
        self.cluster.turn(_place(leader))
        return self.sent()

    def slow(self, place: str) -> list[str]:
        """A disk takes nothing before it is told to."""
        self.cluster.disks[_replica(place)].slow = True
        return []

    def sync(self, place: str) -> list[str]:
        """A disk takes what it was given."""
        self.cluster.sync(_replica(place))
        return self.sent()

    def show(self, name: str) -> list[str]:
        """Tell a state."""
        place = name if name in self.sessions else _place(name)
        if isinstance(place, int):
            return self.describer.replica(self.cluster.replicas[place])
        if place in self.cluster.clients:
            return self.describer.client(self.cluster.clients[place].core)
        return self.describer.session(self.sessions[place])


def _place(name: str) -> Place:
    return int(name[1:]) if name[0] == "r" and name[1:].isdigit() else name


def _replica(name: str) -> int:
    place = _place(name)
    assert isinstance(place, int), name
    return place


def _name(place: Place) -> str:
    return f"r{place}" if isinstance(place, int) else place
