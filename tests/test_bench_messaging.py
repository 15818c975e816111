"""Loads of MQTT's and STOMP's benchmarks arrive whole; how fast is not looked at here. What guards against
regressions is the number of function calls for each message, compared with `bench/stomp_calls.json`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest

from bench import calls, mqtt_calls, mqtt_load, mqtt_run, mqtt_scale, stomp_calls, stomp_load, stomp_run
from bench.beside import Row, render
from bench.peers import Pillarbox


@pytest.fixture(scope="module")
def peer() -> Iterator[Pillarbox]:
    with Pillarbox(options=("--mqtt-port", "0", "--stomp-port", "0")) as started:
        yield started


def few(row: Row) -> Row:
    """The row with as few messages and clients as keep its shape."""
    load = row.load
    smaller = dataclasses.replace(
        load, messages=200, publishers=min(load.publishers, 3), subscribers=min(load.subscribers, 8)
    )
    return row._replace(load=smaller)


@pytest.mark.parametrize("row", [*mqtt_run.ROWS, *mqtt_run.UNREAD], ids=lambda row: row.title)
def test_load_of_mqtt_arrives_whole(row: Row, peer: Pillarbox) -> None:
    """A load ends when every subscriber has everything; it raises otherwise."""
    load = few(row).load
    figures = mqtt_load.measure(load, peer.ports["mqtt"], peer.pid)
    assert figures["publish_per_s"] > 0
    assert (figures["consume_per_s"] > 0) == bool(load.reads)


@pytest.mark.parametrize("row", stomp_run.ROWS, ids=lambda row: row.title)
def test_load_of_stomp_arrives_whole(row: Row, peer: Pillarbox) -> None:
    figures = stomp_load.measure(few(row).load, peer.ports["stomp"], peer.pid)
    assert figures["publish_per_s"] > 0
    assert figures["consume_per_s"] > 0


@pytest.mark.parametrize(("what", "count"), [("retained", 1_000), ("sessions", 20)])
@pytest.mark.parametrize("name", list(mqtt_scale.PEERS))
def test_what_has_to_hold_of_many_holds_of_few(name: str, what: str, count: int) -> None:
    """It raises where somebody does not get everything, also after a restart."""
    peer_class = mqtt_scale.PEERS[name]
    if reason := peer_class.missing():
        pytest.skip(reason)
    shown, figures = mqtt_scale.measured(what, peer_class, count)
    assert figures["start, s"] > 0
    page = mqtt_scale.page({"few": {shown: figures}}, {"cores": "2"})
    assert f"| few | {shown} |" in page


@pytest.mark.parametrize("step", stomp_calls.STEPS, ids=lambda step: step.name)
def test_calls_per_message_of_stomp_stay_within_the_gate(step: stomp_calls.Step) -> None:
    gate = json.loads(stomp_calls.GATE.read_text())
    if gate["python"] != calls.python_version():
        pytest.skip(f"the gate is for Python {gate['python']}, this is {calls.python_version()}")
    assert calls.compare({step.name: stomp_calls.count(step)}, gate) == []


@pytest.mark.parametrize("step", mqtt_calls.STEPS, ids=lambda step: step.name)
def test_calls_per_message_of_mqtt_stay_within_the_gate(step: mqtt_calls.Step) -> None:
    gate = json.loads(mqtt_calls.GATE.read_text())
    if gate["python"] != calls.python_version():
        pytest.skip("the gate is of another minor version of Python")
    counts = {step.name: stomp_calls.count(step, mqtt_calls.Rig)}
    assert calls.compare(counts, gate) == []


def test_page_shows_ratios_to_the_first_peer_and_who_cannot_do_a_row() -> None:
    figures = {"publish_per_s": 1.0, "consume_per_s": 300.0, "cpu_s_per_million": 2.0, "rss_peak_mb": 40.0}
    lines = render(
        {"a": {"Ours": figures, "Other": figures | {"consume_per_s": 100.0}}, "b": {"Ours": figures}}
    )
    assert lines.splitlines()[2:] == [
        "| a | 300 | 100 | 3.0 x | 2.0 | 2.0 | 40 | 40 |",
        "| b | 300 | - | - | 2.0 | - | 40 | - |",
    ]
