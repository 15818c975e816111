"""Kafka's own console tools, which use the Java client, in one virtual machine for all scenarios."""

from __future__ import annotations

import atexit
import functools
import re
import select
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path

from bench import kafka_peer
from tests.compare_kafka.case import Case

HARNESS = Path(__file__).resolve().parent.parent / "java" / "ConsoleTools.java"
ANSWER_TIMEOUT_S = 40.0

TOOLS = {
    "acls": "org.apache.kafka.tools.AclCommand",
    "broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "client-metrics": "org.apache.kafka.tools.ClientMetricsCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    "configs": "kafka.admin.ConfigCommand",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "console-share-consumer": "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
    "consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "e2e-latency": "org.apache.kafka.tools.EndToEndLatency",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "groups": "org.apache.kafka.tools.GroupsCommand",
    "leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "share-groups": "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
    "streams-application-reset": "org.apache.kafka.tools.StreamsResetter",
    "topics": "org.apache.kafka.tools.TopicCommand",
    "transactional-message-copier": "org.apache.kafka.tools.TransactionalMessageCopier",
    "transactions": "org.apache.kafka.tools.TransactionsCommand",
    "verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
}
"""The class behind each of Kafka's `kafka-*.sh`."""

VARIABLE = {
    r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b": "UUID",
    r"(TopicId: )[\w-]{22}\b": r"\1ID",
    r"(Cluster ID: )[\w-]{22}\b": r"\1ID",
    r"\b127\.0\.0\.1:\d+": "ADDRESS",
    r"[ \t]+": " ",
}
"""What differs from run to run, or is blank."""


def missing() -> str:
    """Return why there are no tools here, or the empty string."""
    return kafka_peer.missing()


@functools.cache
def machine() -> subprocess.Popen[str]:
    """Return the virtual machine, which ends with this process."""
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=off"
    command = ["java", *kafka_peer.SMALL_JVM, quiet, "-cp", kafka_peer.class_path(), str(HARNESS)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    atexit.register(process.kill)
    return process


def run(tool: str, *arguments: str, given: str = "") -> tuple[int, str]:
    """Run a tool; return its exit code and what it wrote."""
    process = machine()
    assert process.stdin is not None
    assert process.stdout is not None
    parts = [TOOLS[tool], given, *arguments]
    process.stdin.write(",".join(b64encode(part.encode()).decode() for part in parts) + "\n")
    process.stdin.flush()
    if not select.select([process.stdout], [], [], ANSWER_TIMEOUT_S)[0]:
        process.kill()
        machine.cache_clear()
        raise TimeoutError(f"{tool} {' '.join(arguments)}: not within {ANSWER_TIMEOUT_S:g} s")
    code, _, written = process.stdout.readline().partition(",")
    return int(code), b64decode(written).decode()


def written(case: Case, tool: str, *arguments: str, given: str = "") -> list[str]:
    """Run a tool on the case's broker; return what it wrote, without what differs from run to run."""
    code, text = run(tool, "--bootstrap-server", case.bootstrap, *arguments, given=given)
    text = case.shorten(text)
    for pattern, stand_in in VARIABLE.items():
        text = re.sub(pattern, stand_in, text)
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("at ")]  # No lines of Java's stack.
    return [*lines, f"exit {code}"] if code else lines


def saw(case: Case, tool: str, *arguments: str, given: str = "") -> None:
    """Run a tool and add what it wrote to the transcript, a line for each line."""
    words = " ".join(case.shorten(argument) for argument in arguments)
    case.saw(f"{tool} {words}")
    for line in written(case, tool, *arguments, given=given):
        case.saw(line)
