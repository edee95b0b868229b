"""What is read from a user's files and words: framed streams, cluster files, lists of addresses, settings, histories."""

from __future__ import annotations

import json
from functools import cache
from random import Random
from typing import TYPE_CHECKING

from loadgen.checkers.formats import read
from loadgen.checkers.jepsen import edn_lines
from loadgen.checkers.operation import Unreadable
from replica.cluster_file import ClusterFile, ReplicaPlace, parse_cluster, read_cluster_file, write_cluster_file, write_ready_file
from replica.config import SETTINGS, SettingError, resolve
from tests.fuzz.stored import scratch
from transport.frame import PREAMBLE, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CLUSTER_WORDS = (
    b"[[replica]]\n",
    b"id = 1\n",
    b'address = "[::1]:7400"\n',
    b'"ws://a:1"',
    b"true",
    b"[1]",
    b"1979-05-27",
    b"{}",
    b'mode = "ho"\n',
    b"null",
)
ADDRESS_WORDS = (b",", b":", b"ws://", b"http://", b"[::1]:1", b"/", b"@", b"\xc2\xb2", b"\xd9\xa1")
SETTINGS_WORDS = (b"true", b"0", b"-1", b"nan", b"inf", b'""', b"[]", b"\n[a]\n", b"1979-05-27", b'"fd:"', b"=", b"0x7fffffffffffffff")
HISTORY_WORDS = (
    b"null", b"true", b"1.5", b'"x"', b"[]", b"{}", b'{"hex": "zz"}', b'"invoke"', b'"ok"', b'"fail"', b'"scan"', b'"cas"', b'"swapped": false,',
    b"\xed\xa0\x80", b'"\\ud800"', b"[[1,2,3]]", b'"causal"', b"NaN",
)  # fmt: skip
EDN_WORDS = (
    b":invoke",
    b":ok",
    b":info",
    b":nemesis",
    b"nil",
    b"[1 2]",
    b"#{",
    b"#_",
    b"#tag ",
    b"\\a",
    b'"\\ud800"',
    b"1N",
    b"1.5M",
    b":cas",
    b":f ",
    b"{:a 1}",
)


# ---------------------------------------------------------------------------------------------------------------------------- frames


@cache
def streams() -> Sequence[bytes]:
    """Return what a link carries one way."""
    random = Random("streams")
    sizes = ((), (0,), (5,), (40, 0, 300), (1, 1, 1, 1), (4000, 2))
    return [PREAMBLE + b"".join(b"".join(encode([random.randbytes(size)])) for size in some) for some in sizes]


# --------------------------------------------------------------------------------------------------------------------- cluster files


@cache
def cluster_files() -> Sequence[bytes]:
    """Return cluster files and ready files."""
    places = [
        ReplicaPlace(id=number, address=f"127.0.0.1:{7400 + number}", websocket=f"ws://[::1]:{7500 + number}", admin="", data_dir="a b", pid=number)
        for number in range(3)
    ]
    clusters = [
        ClusterFile(cluster_id="c", mode="ho", durability="disk", leader=1, replicas=tuple(places)),
        ClusterFile(replicas=(ReplicaPlace(id=7, admin="http://localhost:1"),)),
    ]
    found = []
    for cluster in clusters:
        for write in (write_cluster_file, write_ready_file):
            file = scratch() / "cluster"
            write(cluster, file)
            found.append(file.read_bytes())
    return found


def judge_cluster_file(data: bytes) -> str:
    """Give bytes to the reader of cluster files; what it takes it takes again when written."""
    file = scratch() / "cluster"
    file.write_bytes(data)
    try:
        cluster = read_cluster_file(file)
    except SettingError as error:
        return _one_line(error)
    write_ready_file(cluster, file)
    assert read_cluster_file(file) == cluster, "not the same when written and read again"
    return "taken"


def address_lists() -> Sequence[bytes]:
    """Return what a user may give as a cluster."""
    return [b"127.0.0.1:7400,127.0.0.1:7401", b"[::1]:7400", b"ws://localhost:1/,ws://localhost:2", b"http://a.example:80", b"ready.json"]


def judge_addresses(data: bytes) -> str:
    """Give text to the reader of ``--cluster``."""
    try:
        parse_cluster(data.decode("utf-8", "surrogateescape").replace("\0", ""))
    except SettingError as error:
        return _one_line(error)
    return "taken"


# -------------------------------------------------------------------------------------------------------------------------- settings


@cache
def settings_files() -> Sequence[bytes]:
    """Return TOML files: of every setting, and of each one alone."""
    lines = [f"{setting.name} = {json.dumps(setting.default)}\n" for setting in SETTINGS.values()]
    return [line.encode() for line in ("".join(lines), *lines)]


def judge_settings(data: bytes) -> str:
    """Give bytes to the reader of settings; what it takes can be given to a child process as flags."""
    file = scratch() / "settings.toml"
    file.write_bytes(data)
    try:
        settings = resolve({}, {}, file)
    except SettingError as error:
        return _one_line(error)
    settings.as_flags()
    return "taken"


def _one_line(error: SettingError) -> str:
    assert str(error)
    return "SettingError"


def _fit_for_a_terminal(error: Unreadable) -> str:
    assert len(str(error)) < 500, "a refusal for a terminal"
    return "Unreadable"


# ------------------------------------------------------------------------------------------------------------------------- histories


def _events() -> list[dict[str, object]]:
    random = Random("histories")
    events: list[dict[str, object]] = []
    for number in range(12):
        op = random.choice(("put", "get", "cas", "delete", "scan"))
        strong = random.random() < 0.5
        event: dict[str, object] = {"process": number % 3, "id": number, "op": op, "key": f"k{number % 2}"}
        event |= {"consistency": "strong" if strong or op == "cas" else "causal", "number": None if op in {"get", "scan"} else number}
        answer: dict[str, object] = {}
        match op:
            case "put":
                event["value"] = {"hex": f"ff{number:02x}"} if number % 4 == 0 else f"v{number}"
            case "cas":
                event |= {"value": f"v{number}", "expected": None} if number % 2 else {"value": f"v{number}", "version": 3}
                answer = {"swapped": number % 3 == 0}
            case "get":
                answer = {"value": None, "version": 0}
            case "scan":
                event |= {"end": None, "limit": 5}
                answer = {"value": [["k0", "v0", 1]], "more": False}
            case _:
                pass
        events.append({"type": "invoke", "time": 10 * number, **event})
        events.append({"type": random.choice(("ok", "ok", "fail", "unknown")), "time": 10 * number + 5, **event, **answer})
    return events


@cache
def json_histories() -> Sequence[bytes]:
    """Return histories in our own format."""
    lines = [json.dumps(event) + "\n" for event in _events()]
    return [text.encode() for text in ("".join(lines), *("".join(lines[place : place + 2]) for place in range(0, len(lines), 2)))]


@cache
def edn_histories() -> Sequence[bytes]:
    """Return Jepsen's EDN, as we write it and as others do."""
    ours = "\n".join(edn_lines(_events()))
    register = "{:process 0, :type :invoke, :f :write, :value 3}\n{:process 1, :type :invoke, :f :cas, :value [3 4]}\n"
    register += "{:process 0, :type :ok, :f :write, :value 3}\n{:process 1, :type :info, :f :cas, :value [3 4], :error :timeout}\n"
    vector = '[{:process 0 :type :invoke :f :get :key "x"} {:process 0 :type :ok :f :get :key "x" :value "a\\nb\\u0041"}] ; end\n'
    return [
        text.encode() for text in (ours, register, vector, "#_ {} #jepsen.Op{:process :nemesis, :type :info, :f :kill, :value #{1 \\a}}\n" + register)
    ]


@cache
def jepsen_logs() -> Sequence[bytes]:
    """Return Jepsen's text logs."""
    head = "INFO  jepsen.util - "
    lines = ["0\t:invoke\t:write\t4", "1\t:invoke\t:read\tnil", "0\t:ok\t:write\t4", "1\t:fail\t:read\t:timed-out", "2\t:invoke\t:cas\t[4 2]"]
    lines += [":nemesis\t:info\t:start\tnil", "2\t:info\t:cas\t:timed-out"]
    return ["".join(f"{head}{line}\n" for line in lines).encode(), f"{head}{lines[0]}\nINFO  jepsen.core - Run complete\n{head}{lines[2]}\n".encode()]


def judge_history(form: str) -> Callable[[bytes], str]:
    """Return what gives bytes to the reader of a history's format."""

    def judge(data: bytes) -> str:
        file = scratch() / "history"
        file.write_bytes(data)
        try:
            history = read(file, form)
        except Unreadable as error:
            return _fit_for_a_terminal(error)
        for operation in history.operations:
            str(operation)
        return "taken"

    return judge
