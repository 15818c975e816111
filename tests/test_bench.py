"""The bench tells the truth: every workload arrives whole, counts are exact, ratios are what they claim.

Rates are not looked at here: this machine may be busy. What guards against regressions is the number of
function calls for each message, compared with `bench/calls.json`.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import socket
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import calls, scale
from bench.amqp_load import Load, measure
from bench.amqp_wire import Address, Confirms, RawConnection, WireError, ack
from bench.peers import LavinMQ, Pillarbox, RabbitMQ, found
from bench.report import README, SUMMARY_SIZES, lines_of, render, summary, verdict, with_summary
from bench.rows import ROWS, Row

FEW = 40


@pytest.fixture(scope="module")
def peer() -> Iterator[Pillarbox]:
    with Pillarbox() as started:
        yield started


def small(row: Row) -> Load:
    """The row's load with as few messages, queues and slow connections as keep its shape."""
    load = row.load
    return dataclasses.replace(
        load,
        messages=FEW,
        size=min(load.size, 200_000),
        queues=min(load.queues, 20),
        fanout=min(load.fanout, 10),
        keys=min(load.keys, 30),
        trickle=min(load.trickle, 5),
    )


@pytest.mark.parametrize("row", [row for row in ROWS if not row.load.tls], ids=lambda row: row.name)
def test_load_of_every_row_arrives_whole(row: Row, peer: Pillarbox) -> None:
    """A load ends when every message was counted; it raises otherwise."""
    load = small(row)
    figures = measure(load, Address(peer.amqp_port), pid=peer.pid)
    assert figures["published"] == load.total
    readers = load.consumers if load.queue_type == "stream" else 1
    assert figures["received"] == (load.total * readers if load.consumer_count else 0)
    assert all(figures[name] > 0 for name in row.figures)


def test_load_leaves_no_queue_behind(peer: Pillarbox) -> None:
    measure(Load(messages=FEW), Address(peer.amqp_port))
    connection = RawConnection(Address(peer.amqp_port))
    with pytest.raises(WireError, match="NOT_FOUND"):
        connection.ready("load-0")


def test_load_fails_when_there_is_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(OSError, match="refused"):
        measure(Load(messages=FEW), Address(port))


@given(
    acks=st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=60),
    cuts=st.lists(st.integers(0, 1500), max_size=5),
)
def test_confirms_are_counted_whatever_their_order_and_split(
    acks: list[tuple[int, bool]], cuts: list[int]
) -> None:
    """AMQP 0-9-1 confirms: basic.ack for one tag or for all up to it, in any order."""
    data, confirmed = b"", set[int]()
    for tag, multiple in acks:
        if tag not in confirmed:
            data += ack(tag, multiple=multiple)
            confirmed.update(range(1, tag + 1) if multiple else [tag])
    confirms = Confirms()
    edges = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(edges):
        confirms.receive(data[start:end])
    assert confirms.count == len(confirmed)


@pytest.mark.parametrize("again", [1, 2])
def test_confirms_refuse_to_count_a_publish_twice(again: int) -> None:
    confirms = Confirms()
    confirms.receive(ack(2, multiple=True))
    with pytest.raises(WireError, match="confirmed twice"):
        confirms.receive(ack(again, multiple=False))


def test_confirms_refuse_a_negative_acknowledgement() -> None:
    nack = ack(1, multiple=False).replace(b"\x00\x3c\x00\x50", b"\x00\x3c\x00\x78")
    with pytest.raises(WireError, match="not an ack"):
        Confirms().receive(nack)


@pytest.mark.parametrize("step", calls.STEPS, ids=lambda step: step.name)
def test_calls_per_message_stay_within_the_gate(step: calls.Step) -> None:
    """Design, section 11: a regression gate counts function calls per message, exactly."""
    gate: dict[str, Any] = json.loads(calls.GATE.read_text())
    if gate["python"] != calls.python_version():
        pytest.skip(f"the gate is for Python {gate['python']}, this is {calls.python_version()}")
    counted = {step.name: calls.count(step)}
    assert calls.compare(counted, gate) == []


def results_of(ours: dict[str, float], rival: dict[str, float]) -> dict[str, Any]:
    """Results of a run in which each named row has one value on each side."""
    rows = {}
    for row in ROWS:
        sides = {"Pillarbox": ours.get(row.name), "RabbitMQ": rival.get(row.name)}
        peers = {
            side: {"version": "1", "median": dict.fromkeys([*row.figures, "rss_backlog_mb"], value)}
            for side, value in sides.items()
            if value is not None
        }
        if peers:
            rows[row.name] = {"measured": "2026-01-01 00:00", "commit": "abc", "peers": peers}
    return {"rows": rows}


def test_report_ratio_counts_latency_the_other_way_round() -> None:
    lines = lines_of(results_of({"durable": 300.0, "latency": 1.0}, {"durable": 100.0, "latency": 4.0}))
    assert [line.ratio for line in lines] == [3.0, 4.0, 4.0, 4.0]


def test_report_names_worst_row_and_geometric_mean() -> None:
    results = results_of({"durable": 200.0, "transient": 800.0}, {"durable": 100.0, "transient": 100.0})
    told = verdict(lines_of(results))
    assert "throughput ratios: 4.0 x" in told
    assert "Worst row: **persistent, confirms (window 1000), manual acknowledgement, 2.0 x**" in told


def test_report_leaves_no_failed_or_unmeasured_row_out() -> None:
    results = results_of({}, {"durable": 100.0})
    results["rows"]["durable"]["peers"]["Pillarbox"] = {"reason": "failed: out of order\nmore"}
    text = render(results)
    assert "- durable, Pillarbox: failed: out of order\n" in text
    assert "- transient: not measured\n" in text


def test_summary_names_worst_and_best_and_says_what_is_missing() -> None:
    ours, rival = (
        {"body-1k": 200.0, "keys-5000": 900.0, "durable": 300.0},
        dict.fromkeys(("body-1k", "keys-5000", "durable"), 100.0),
    )
    text = summary(results_of(ours, rival))
    for line in ("1 KiB bodies", "5,000 routing keys", "persistent, confirms"):
        assert f"\n| {line}" in text
    assert "Rows without figures: transient, " in text


def test_summary_of_a_quick_run_has_no_figures() -> None:
    results = {**results_of({"durable": 300.0}, {"durable": 100.0}), "quick": True}
    assert "300" not in summary(results)


def test_sizes_of_the_summary_are_figures_that_are_measured() -> None:
    source = inspect.getsource(scale)
    for measurement, figure in SUMMARY_SIZES:
        assert measurement in scale.MEASUREMENTS
        assert f'"{figure}"' in source


def test_readme_shows_the_figures_of_the_last_run() -> None:
    """`python -m bench.run --render` writes them."""
    results = json.loads((README.parent / "bench" / "results.json").read_text())
    assert README.read_text() == with_summary(README.read_text(), results)


def test_peers_that_are_not_installed_are_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    monkeypatch.setattr(RabbitMQ, "HOME", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found(("rabbitmq", "lavinmq")) == []
    told = capsys.readouterr().err
    assert "skipped RabbitMQ: no" in told
    assert f"skipped LavinMQ: {LavinMQ.missing()}" in told
