"""Kafka's other tools: loads, what looks at the cluster, and what its own system tests are made with."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from bench import kafka_peer
from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.java_tools import TOOLS, missing, run, saw, written
from tests.transcripts.registry import scenario

__all__ = ["missing"]

TIMEOUT_S = 60
WORDS = ("name", "status", "sent", "acked", "count", "success", "partition")
"""What is shown of the events that verifiable clients tell."""


def made(case: Case, word: str, partitions: int = 1) -> str:
    name = case.name(word)
    arguments = ("--create", "--topic", name, "--partitions", str(partitions))
    code, text = run("topics", "--bootstrap-server", case.bootstrap, *arguments)
    assert code == 0, text
    return name


def alone(tool: str, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Run a tool that ends its virtual machine; return its exit code and the JSON lines that it writes."""
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=off"
    command = ["java", *kafka_peer.SMALL_JVM, quiet, "-cp", kafka_peer.class_path(), TOOLS[tool], *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def events(case: Case, tool: str, *arguments: str) -> list[dict[str, Any]]:
    return alone(tool, "--bootstrap-server", case.bootstrap, *arguments)[1]


@scenario("K77", "K5", "K50")
def verifiable_clients(case: Case) -> None:
    """A producer that tells each acknowledgement, and a consumer that tells what it has got and committed."""
    name = made(case, "t")
    load = ("--topic", name, "--max-messages", "20", "--throughput", "-1")
    for acks in ("1", "-1"):
        told = events(case, "verifiable-producer", *load, "--acks", acks)
        case.saw(f"acks {acks}", [each["name"] for each in told].count("producer_send_success"))
        case.saw("in all", {word: told[-1].get(word) for word in WORDS}, told[-1]["name"])
    for protocol in ("classic", "consumer"):
        options = ("--topic", name, "--group-id", case.name(protocol), "--max-messages", "40")
        told = events(case, "verifiable-consumer", *options, "--group-protocol", protocol)
        read = sum(each["count"] for each in told if each["name"] == "records_consumed")
        case.saw(f"{protocol}: read", read)
        case.saw("told", sorted({each["name"] for each in told}))


@scenario("K77", "K2")
def loads(case: Case) -> None:
    """The tools that people measure brokers with."""
    name = made(case, "t")
    load = ("--topic", name, "--num-records", "1000", "--record-size", "100", "--throughput", "-1")
    lines = written(case, "producer-perf-test", *load, "--command-property", "acks=all")
    case.saw("producer", [line.partition(",")[0] for line in lines if "records sent" in line][-1:])
    options = ("--topic", name, "--num-records", "1000", "--group", case.name("g"))
    lines = written(case, "consumer-perf-test", *options)
    case.saw("consumer", lines[0].split(", "), lines[-1].split(", ")[4])
    trip = ("--topic", name, "--num-records", "10", "--producer-acks", "all", "--record-size", "10")
    lines = written(case, "e2e-latency", *trip)
    case.saw("there and back", [line.partition(":")[0] for line in lines if not line[0].isdigit()])


@scenario("K77", "K60", "K61")
def transactional_copier(case: Case) -> None:
    """Read, write and commit in transactions, five of them."""
    source, target = made(case, "source"), made(case, "target")
    load = ("--topic", source, "--max-messages", "100", "--throughput", "-1", "--acks", "-1")
    events(case, "verifiable-producer", *load)
    options = ("--transactional-id", case.name("id"), "--consumer-group", case.name("g"))
    options += ("--broker-list", case.bootstrap, "--input-topic", source, "--output-topic", target)
    options += ("--input-partition", "0")
    options += ("--max-messages", "100", "--transaction-size", "20")
    code, told = alone("transactional-message-copier", *options)
    last = told[-1] if told else {}
    case.saw("copied", code, last.get("consumed"), last.get("remaining"))
    read = ("--topic", target, "--from-beginning", "--timeout-ms", "3000")
    committed = ("--command-property", "isolation.level=read_committed")
    lines = written(case, "console-consumer", *read, *committed)
    case.saw("read", sum(line.isdigit() for line in lines))


@scenario("K37", "K77")
def cluster(case: Case) -> None:
    """What tools tell of the cluster, its quorum, its logs, its clients' metrics."""
    name = made(case, "t", 2)
    for command in (("list-endpoints",), ("unregister", "--id", "77")):
        code, text = run("cluster", *command, "--bootstrap-server", case.bootstrap)
        lines = [re.sub(r"\d{4,5}", "PORT", line).split() for line in text.splitlines()]
        case.saw(f"cluster {command[0]}", code, *lines[:2])
    for line in written(case, "metadata-quorum", "describe", "--status"):
        case.saw("status", line.partition(":")[0])
    for line in written(case, "metadata-quorum", "describe", "--replication"):
        case.saw("replication", len(line.split("\t")), line.split()[-1])
    for line in written(case, "log-dirs", "--describe", "--topic-list", name):
        if line.startswith("{"):
            (broker,) = json.loads(line)["brokers"]
            (folder,) = broker["logDirs"]
            case.saw("folder", folder["error"], sorted(folder))
            for one in sorted(folder["partitions"], key=lambda one: str(one["partition"])):
                case.saw("partition", one["partition"], one["size"], one["offsetLag"], one["isFuture"])
    saw(case, "leader-election", "--election-type", "preferred", "--topic", name, "--partition", "0")
    saw(case, "reassign-partitions", "--list")
    saw(case, "transactions", "find-hanging", "--broker-id", "1", "--topic", name)
    saw(case, "client-metrics", "--list")


@scenario("K57", "K77", "K78")
def groups(case: Case) -> None:
    """Listed by protocol; and a Streams application put back to its beginning."""
    name, application = made(case, "t"), case.name("app")
    load = ("--topic", name, "--max-messages", "5", "--throughput", "-1")
    events(case, "verifiable-producer", *load)
    consume = ("--topic", name, "--group", application, "--from-beginning", "--max-messages", "3")
    written(case, "console-consumer", *consume, "--timeout-ms", "5000")
    for line in written(case, "groups", "--list"):
        if application.startswith(line.split()[0]) or case.shorten(application) == line.split()[0]:
            case.saw("listed", line.split())
    saw(case, "streams-application-reset", "--application-id", application, "--input-topics", name, "--force")
    saw(case, "consumer-groups", "--describe", "--group", application)
