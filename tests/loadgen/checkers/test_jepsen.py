from __future__ import annotations

from typing import Any

import pytest

from loadgen.checkers.edn import forms
from loadgen.checkers.jepsen import edn_lines, read_edn, read_log
from loadgen.checkers.judge import judge
from loadgen.checkers.linearizable import check_linearizable
from loadgen.checkers.operation import NEVER, Unreadable
from loadgen.checkers.pairing import paired
from loadgen.checkers.verdict import NO, PROPERTIES, YES
from tests.loadgen.checkers.scripts import events

LOG = """\
INFO  jepsen.core - Running 5 workers
INFO  jepsen.util - 0\t:invoke\t:read\tnil
INFO  jepsen.util - 0\t:ok\t:read\tnil
INFO  jepsen.util - 1\t:invoke\t:cas\t[0 3]
INFO  jepsen.util - 1\t:fail\t:cas\t[0 3]
INFO  jepsen.util - :nemesis\t:info\t:start\tnil
INFO  jepsen.util - 2\t:invoke\t:write\t4
INFO  jepsen.util - 2\t:info\t:write\t:timed-out
INFO  jepsen.util - 0\t:invoke\t:read\tnil
INFO  jepsen.util - 0\t:fail\t:read\t:timed-out
"""


def test_a_log_is_read_with_its_timeouts_and_refusals() -> None:
    read, cas, write, lost = read_log(LOG).operations
    assert (read.kind, read.answered, read.seen, read.line) == ("get", True, None, 2)
    assert (cas.expected, cas.value, cas.refused) == (b"0", b"3", True)
    assert (write.value, write.answered, write.returned) == (b"4", False, NEVER)
    assert (lost.answered, lost.failed) == (False, True)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nonsense", "no line of a Jepsen log"),
        ("INFO  jepsen.util - 9\t:ok\t:read\t1", "returns before it is invoked"),
        ("INFO  jepsen.util - 9\t:invoke\t:increment\t1", "no event of a register"),
        ("INFO  jepsen.util - 9\t:invoke\t:cas\t[1 2 3]", "a cas is"),
        *((f"INFO  jepsen.util - 0\t:ok\t:read\t{rest}", "may have been cut") for rest in ("", "ni", "(1", ":timed-out")),
        *((f"INFO  jepsen.util - 0\t:fail\t:cas\t{rest}", "may have been cut") for rest in ("", "[0", "[0 ")),
    ],
)
def test_a_log_that_is_none_is_refused_with_its_line(line: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why) as refused:
        read_log(LOG + line)
    assert refused.value.line == 11


def test_stores_and_registers_are_read_from_edn() -> None:
    text = """
        {:process 0, :type :invoke, :f :put, :key "k", :value "1"} {:process 0, :type :ok, :f :put, :key "k", :value "1"}
        {:process 1, :type :invoke, :f :read, :value nil, :time 5}
        {:process :nemesis, :type :info, :f :kill}
        {:process 1, :type :info, :f :read, :value nil}"""
    put, read = read_edn(text).operations
    assert (put.kind, put.key, put.value, put.answered, put.line) == ("put", b"k", b"1", True, 2)
    assert (read.kind, read.key, read.answered, read.line) == ("get", b"", False, 3)
    vector = read_edn("[{:process 0, :type :invoke, :f :write, :value 1}\n{:process 0, :type :ok, :f :write, :value 1}]")
    assert [operation.what for operation in vector.operations] == ["put 1"]


def test_nil_may_be_left_out_of_what_a_read_found() -> None:
    [read] = read_edn("{:process 0, :type :invoke, :f :read} {:process 0, :type :ok, :f :read}").operations
    assert (read.answered, read.seen) == (True, None)


@pytest.mark.parametrize(("put", "seen"), [("append", None), ("put", b"")])
def test_an_empty_string_is_an_absent_key_unless_somebody_put_it(put: str, seen: bytes | None) -> None:
    text = f"""{{:process 0, :type :invoke, :f :{put}, :key "k", :value ""}} {{:process 0, :type :ok, :f :{put}, :key "k", :value ""}}
               {{:process 0, :type :invoke, :f :get, :key "k", :value nil}} {{:process 0, :type :ok, :f :get, :key "k", :value ""}}"""
    assert read_edn(text).operations[1].seen == seen


def test_an_empty_string_that_is_put_is_an_absent_key_where_values_grow() -> None:
    asked = [
        ':f :put, :key "k", :value ""', ':f :append, :key "k", :value ""', ':f :get, :key "k", :value ""',
        ':f :cas, :key "k", :value ["" "x"]', ':f :get, :key "k", :value "x"',
        ':f :cas, :key "k", :value ["x" ""]', ':f :append, :key "k", :value "y"', ':f :get, :key "k", :value "y"',
    ]  # fmt: skip
    made = read_edn("\n".join(f"{{:process 0, :type :{type_}, {each}}}" for each in asked for type_ in ("invoke", "ok")))
    assert check_linearizable(made, 30.0).answer == YES
    made.operations[2].seen = b"y"
    assert check_linearizable(made, 30.0).answer == NO


@pytest.mark.parametrize("process", [":a", ":logger", "a", ":nemesis-2"])
def test_no_process_is_dropped_but_the_nemesis(process: str) -> None:
    with pytest.raises(Unreadable, match=f"process :{process.removeprefix(':')} is neither a client nor :nemesis") as refused:
        read_edn(f"{{:process :nemesis, :type :info, :f :kill}}\n{{:process {process}, :type :invoke, :f :write, :value 1}}")
    assert refused.value.line == 2


def test_a_client_may_have_the_name_of_the_nemesis() -> None:
    assert len(read_edn('{:process "nemesis", :type :invoke, :f :write, :value 1}').operations) == 1


@pytest.mark.parametrize(("text", "line"), [("{:process 0", 1), ("\n7", 2), ("{:type :invoke, :f :read}", 1), ("{:process 0, :type :ok, :f :x}", 1)])
def test_edn_that_is_no_history_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(Unreadable) as refused:
        read_edn(text)
    assert refused.value.line == line


def test_our_own_histories_lose_nothing_on_the_way_through_edn() -> None:
    recorded = events("""
        w> 3 put x 1
        4 causal put x 2
        w< unknown
        4 cas x 2 3 refused
        4 cas x @9 5
        5 get x = 5 @10
        5 causal get y = -
        6 scan a z 5 = x:5
        6 delete x fail
    """)
    recorded[0] |= {"number": 1, "value": {"hex": "ff"}, "time": 12}
    assert_comes_back(recorded)


def assert_comes_back(recorded: list[dict[str, Any]]) -> None:
    again, ours = read_edn("\n".join(edn_lines(recorded))), paired(recorded)
    names = [name for name in type(ours.operations[0]).__slots__ if name not in {"__weakref__", "line"}]
    assert [[getattr(each, name) for name in names] for each in again.operations] == [
        [getattr(each, name) for name in names] for each in ours.operations
    ]
    assert [verdict.answer for verdict in judge(again, PROPERTIES, 30.0)] == [verdict.answer for verdict in judge(ours, PROPERTIES, 30.0)]


IN_FLIGHT = """
    a> 3 put x 1
    b> 3 put y 2
    c> 4 get x
    a< ok
    d> 3 get x
    b< unknown
    e> 3 causal get y
    d< = 1
    c< = -
    f> 3 put y 3
    g> 4 cas x 1 4
    e< = 2
    f< fail
    g< refused
    h> 3 get y
"""


def test_a_process_has_one_operation_at_a_time_and_none_after_one_whose_outcome_is_unknown() -> None:
    running: dict[int, Any] = {}
    gone: set[int] = set()
    lanes: dict[int, set[Any]] = {}  # {process: sessions}
    for line in edn_lines(events(IN_FLIGHT)):
        [(_, event)] = forms(line)
        process = event["process"]
        lanes.setdefault(process, set()).add(event["session"])
        if event["type"] == "invoke":
            assert process not in running
            assert process not in gone
            running[process] = event["id"]
        else:
            assert running.pop(process) == event["id"]
            if event["type"] == "info":
                gone.add(process)
    assert gone
    assert all(len(sessions) == 1 for sessions in lanes.values())


def test_an_operation_gets_the_lowest_free_lane_of_its_session() -> None:
    invoked = [event for line in edn_lines(events(IN_FLIGHT)) for _, event in forms(line) if event["type"] == "invoke"]
    assert [(event["session"], event["process"]) for event in invoked] == [
        ("3", 0), ("3", 1), ("4", 2), ("3", 0), ("3", 3), ("3", 0), ("4", 2), ("3", 0),
    ]  # fmt: skip


def test_operations_in_flight_together_come_back_in_their_sessions_with_the_same_verdicts() -> None:
    assert_comes_back(events(IN_FLIGHT))
    forgetful = events("a> 3 get y\n3 causal put x 1\na< = -\n3 causal get x = -")  # it wrote on one lane and reads on another
    assert_comes_back(forgetful)
    assert [verdict.answer for verdict in judge(read_edn("\n".join(edn_lines(forgetful))), ("sessions",))] == [NO]


@pytest.mark.parametrize("text", [
    "{:process 7, :id 1, :type :invoke, :f :read} {:process 7, :id 1, :type :ok, :f :read, :value nil}",
    "{:process 7, :type :invoke, :f :read, :session 9} {:process 7, :type :ok, :f :read, :session 9, :value nil}",
])  # fmt: skip
def test_histories_without_lanes_keep_their_processes(text: str) -> None:
    assert [operation.process for operation in read_edn(text).operations] == [7]
