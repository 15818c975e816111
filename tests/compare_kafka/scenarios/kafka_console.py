"""kafka-console, npm's command-line tool, which is built on Platformatic's client, a fifth implementation."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios import npm_tools
from tests.transcripts.registry import scenario

TIMEOUT_S = 60
PROGRAM = npm_tools.NODE / "node_modules" / "kafka-console" / "build" / "cli.js"


def missing() -> str:
    """Return why there is no kafka-console here, or the empty string."""
    return npm_tools.missing("kafka-console")


def run(case: Case, *arguments: str, given: str = "", address: str = "") -> list[Any]:
    """Run it; return what it wrote, or the last line of its complaint."""
    command = ["node", str(PROGRAM), "-b", address or case.bootstrap, "-t", "30000", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        return [f"exit {done.returncode}", *done.stderr.strip().splitlines()[-1:]]
    return [json.loads(line) for line in done.stdout.splitlines()]


def records(lines: list[Any]) -> list[Any]:
    """Records, without the time at which they came."""
    return [{key: value for key, value in line.items() if key != "timestamp"} for line in lines]


def filled(case: Case) -> str:
    """A topic with two records."""
    name = case.name("t")
    run(case, "topic:create", name)
    lines = [{"key": "k1", "value": "v1", "headers": {"a": "1"}}, {"value": {"v": 2}}]
    run(case, "produce", name, given="".join(json.dumps(line) + "\n" for line in lines))
    return name


@scenario("K31", "K32", "K37", "K77")
def topics(case: Case) -> None:
    """Made, listed, described and deleted."""
    name = case.name("t")
    (made,) = run(case, "topic:create", "-p", "2", name)
    case.saw("made", made["name"], made["partitions"], made["replicas"])
    case.saw("made again", run(case, "topic:create", name))
    case.saw("listed", name in run(case, "list"))
    (cluster,) = run(case, "metadata")
    case.saw("brokers", [broker["nodeId"] for broker in cluster["brokers"]], cluster["controllerId"])
    case.saw("metadata", [topic for topic in cluster["topicMetadata"] if topic["topic"] == name])
    (config,) = run(case, "config", "-r", "topic", "-n", name)
    text = json.dumps(config)
    case.saw("config", "retention.ms" in text, "604800000" in text)
    case.saw("deleted", run(case, "topic:delete", name))
    case.saw("listed", name in run(case, "list"))
    case.saw("deleted again", run(case, "topic:delete", name))


@scenario("K2", "K15", "K17", "K77")
def produce_and_consume(case: Case) -> None:
    """Lines of JSON into a topic, back, into a file, and into another topic."""
    name, other = filled(case), case.name("u")
    case.saw("read", records(run(case, "consume", name, "--from", "0", "--snapshot")))
    case.saw("skipped", records(run(case, "consume", name, "--from", "0", "-s", "1", "-c", "1")))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "dump"
        run(case, "topic:dump", name, "-o", str(file))
        case.saw("dumped", records([json.loads(line) for line in file.read_text().splitlines()]))
    run(case, "topic:create", other)
    run(case, "topic:copy", name, other)
    case.saw("copied", records(run(case, "consume", other, "--from", "0", "--snapshot")))
    case.saw("unknown", run(case, "consume", case.name("nothing"), "--from", "0", "--snapshot"))


@scenario("K15", "K50", "K54", "K77")
def offsets(case: Case) -> None:
    """Of a topic, of a time, and what a group has committed."""
    name, group = filled(case), case.name("g")
    case.saw("offsets", run(case, "topic:offsets", name))
    case.saw("at the beginning", run(case, "topic:offsets", name, "1970-01-01T00:00:01Z"))
    case.saw("read", records(run(case, "consume", name, "-g", group, "--from", "0", "-c", "2")))
    case.saw("committed", run(case, "topic:offsets", name, "-g", group))


@scenario("K71", "K77")
def logins(case: Case) -> None:
    """With each mechanism, and with a wrong password."""
    for mechanism in ("plain", "scram-sha-256", "scram-sha-512"):
        for password in ("alice-secret", "wrong"):
            login = ("--mechanism", mechanism, "--username", "alice", "--password", password)
            found = run(case, *login, "metadata", address=case.sasl_bootstrap)
            case.saw(mechanism, password, found if len(found) > 1 else len(found[0]["brokers"]))
