"""What stands on Kafka: Kafka Streams, Connect and MirrorMaker 2, unchanged, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from bench import kafka_peer
from bench.peers import HOST, PeerError, free_ports
from scripts.kafka_codec.package import NEWEST
from tests.compare_kafka.case import Case
from tests.transcripts.registry import scenario

FOLDER = Path(__file__).resolve().parent.parent
POM = FOLDER / "ecosystem" / "pom.xml"
WORD_COUNT = FOLDER / "java" / "WordCount.java"
DOWNLOAD_TIMEOUT_S = 300.0
WAIT_S = 120.0
PAUSE_S = 0.1
TAIL_CHARS = 2000


def missing() -> str:
    """Return why it cannot run here, or the empty string."""
    return kafka_peer.missing()


def class_path() -> str:
    """Return the class path; Maven fetches what is not in its cache, and is asked once."""
    kept = Path(sys.prefix) / f"kafka-ecosystem-{NEWEST}.classpath"
    if not kept.exists() or not all(Path(each).exists() for each in kept.read_text().split(os.pathsep)):
        command = ["mvn", "-q", "-B", "-f", str(POM), f"-Dkafka.version={NEWEST}"]
        command += ["dependency:build-classpath", f"-Dmdep.outputFile={kept}"]
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=DOWNLOAD_TIMEOUT_S
        )
        if done.returncode:
            raise PeerError(f"Maven cannot get Kafka's ecosystem:\n{done.stdout[-TAIL_CHARS:]}")
    return kept.read_text()


@contextlib.contextmanager
def running(*command: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Java program; what it wrote is told if it ends before its time."""
    simple = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    java = ["java", *kafka_peer.SMALL_JVM, simple, "-cp", class_path(), *command]
    log = folder / f"log-{time.monotonic_ns()}"
    with log.open("wb") as file:
        process = subprocess.Popen(java, stdin=subprocess.PIPE, stdout=file, stderr=file, cwd=folder)
        try:
            yield process
        except BaseException:
            process.kill()
            print(log.read_text(errors="replace")[-TAIL_CHARS:], file=sys.stderr)
            raise
        finally:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(WAIT_S / 4)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until(what: Callable[[], Any]) -> Any:
    """What is not nothing, when it comes."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(PAUSE_S)
    raise TimeoutError("it does not come")


def made(case: Case, *names: str, partitions: int = 1, **configs: str) -> None:
    admin = AdminClient({"bootstrap.servers": case.bootstrap})
    wanted = [NewTopic(name, partitions, 1, config=configs) for name in names]
    for future in admin.create_topics(wanted).values():
        future.result(WAIT_S)


def sent(case: Case, name: str, *values: str) -> None:
    producer = Producer({"bootstrap.servers": case.bootstrap})
    for value in values:
        producer.produce(name, value.encode(), key=b"k")
    assert producer.flush(WAIT_S) == 0


def read(case: Case, name: str, count: int, group: str) -> list[tuple[Any, ...]]:
    """So many records of partition 0 from the beginning, as they were committed."""
    options = {"group.id": group, "isolation.level": "read_committed", "enable.auto.commit": False}
    consumer = Consumer({"bootstrap.servers": case.bootstrap, **options})
    consumer.assign([TopicPartition(name, 0, 0)])
    found = []
    end = time.monotonic() + WAIT_S
    while len(found) < count and time.monotonic() < end:
        record = consumer.poll(1)
        if record is not None and record.error() is None:
            found.append((record.key(), record.value()))
    consumer.close()
    return found


# --- Kafka Streams --------------------------------------------------------------------------------------


@scenario("K78", "K34", "K60", "K61")
def streams(case: Case) -> None:
    """Words are counted exactly once, over a restart that has lost the store and reads its changelog."""
    lines, counts, application = case.name("lines"), case.name("counts"), case.name("app")
    made(case, lines, counts)
    with tempfile.TemporaryDirectory() as folder:
        for number, text in enumerate(("all streams lead to kafka", "hello kafka streams"), 1):
            program = (str(WORD_COUNT), case.bootstrap, application, lines, counts, f"{folder}/{number}")
            sent(case, lines, text)
            with running(*program, folder=Path(folder)) as process:
                words = sum(len(each.split()) for each in ("all streams lead to kafka", text)[:number])
                found = read(case, counts, words, case.name("g"))
                case.saw("running", process.poll())
            told = [(word.decode(), int.from_bytes(count, "big")) for word, count in found]
            case.saw("counted", sorted(told))
            case.saw("ended", process.returncode)
    admin = AdminClient({"bootstrap.servers": case.bootstrap})
    topics = admin.list_topics(timeout=WAIT_S).topics
    own = sorted(case.shorten(name).removeprefix("app-") for name in topics if name.startswith(application))
    case.saw("its topics", own)
    case.saw("group", [one.group_id for one in groups(admin) if one.group_id == application])


def groups(admin: AdminClient) -> list[Any]:
    listing = admin.list_consumer_groups().result(WAIT_S)
    return list(listing.valid)


# --- Kafka Connect --------------------------------------------------------------------------------------


def asked(port: int, method: str, path: str, document: Any = None) -> tuple[int, Any]:
    """An answer of Connect's REST interface."""
    data = None if document is None else json.dumps(document).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://{HOST}:{port}{path}", data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as response:
            text = response.read()
            return response.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code, None
    except OSError:
        return 0, None


def worker(case: Case, port: int, folder: Path) -> str:
    """The properties of a distributed worker, whose topics are made by itself."""
    path = folder / "worker.properties"
    settings = {
        "bootstrap.servers": case.bootstrap,
        "group.id": case.name("connect"),
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        "offset.storage.topic": case.name("offsets"),
        "config.storage.topic": case.name("configs"),
        "status.storage.topic": case.name("status"),
        "offset.storage.partitions": "1",
        "status.storage.partitions": "1",
        **{f"{kind}.storage.replication.factor": "1" for kind in ("offset", "config", "status")},
        "offset.flush.interval.ms": "500",
        "exactly.once.source.support": "enabled",
        "listeners": f"http://{HOST}:{port}",
        "plugin.discovery": "only_scan",
    }
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return str(path)


@scenario("K78", "K34", "K50", "K60")
def connect(case: Case) -> None:
    """A distributed worker brings lines of a file to a topic, in transactions, and from there to a file."""
    name = case.name("t")
    made(case, name)
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source, sink = folder / "in.txt", folder / "out.txt"
        source.write_text("one\ntwo\n")
        connectors = {
            "source": {"connector.class": "FileStreamSource", "topic": name, "file": str(source)},
            "sink": {"connector.class": "FileStreamSink", "topics": name, "file": str(sink)},
        }
        properties = worker(case, port, folder)
        with running("org.apache.kafka.connect.cli.ConnectDistributed", properties, folder=folder) as process:
            until(lambda: asked(port, "GET", "/connectors")[0] == 200)
            for each, config in connectors.items():
                made_it = partial(put, port, each, {"name": each, "tasks.max": "1", **config})
                case.saw(f"{each} made", until(made_it))
            until(lambda: sink.exists() and sink.read_text() == "one\ntwo\n")
            with source.open("a") as file:
                file.write("three\n")
            until(lambda: sink.read_text().endswith("three\n"))
            case.saw("lines", sink.read_text().split())
            for each in connectors:
                states = until(partial(status, port, each))
                case.saw(f"{each} is", *states)
            offsets = until(lambda: asked(port, "GET", "/connectors/source/offsets")[1]["offsets"])
            case.saw("offset", offsets[0]["offset"])
            case.saw("sink paused", asked(port, "PUT", "/connectors/sink/pause")[0])
            until(lambda: status(port, "sink") == ("PAUSED", "PAUSED"))
            case.saw("sink deleted", asked(port, "DELETE", "/connectors/sink")[0])
            process.terminate()
        case.saw("in the topic", [value for _, value in read(case, name, 3, case.name("g"))])


def put(port: int, name: str, config: Any) -> bool:
    """Make a connector, or have it as it is: a worker that is between two rounds refuses, or has made it."""
    return asked(port, "PUT", f"/connectors/{name}/config", config)[0] in (200, 201)


def status(port: int, name: str) -> tuple[str, str] | None:
    """The states of a connector and of its task, if there is one."""
    found = asked(port, "GET", f"/connectors/{name}/status")[1]
    if not found or not found["tasks"]:
        return None
    return found["connector"]["state"], found["tasks"][0]["state"]


# --- MirrorMaker ----------------------------------------------------------------------------------------


@scenario("K78", "K32", "K54")
def mirror_maker(case: Case) -> None:
    """Topics with their records and configs, from a cluster to one of another name, which is itself."""
    name, group = case.name("t"), case.name("g")
    made(case, name, partitions=2, **{"retention.ms": "7200000"})
    sent(case, name, "one", "two", "three")
    admin = AdminClient({"bootstrap.servers": case.bootstrap})
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = folder / "mirror.properties"
        alias, target = case.name("east"), case.name("west")
        settings = {
            "clusters": f"{alias},{target}",
            f"{alias}.bootstrap.servers": case.bootstrap,
            f"{target}.bootstrap.servers": case.bootstrap,
            f"{alias}->{target}.enabled": "true",
            f"{alias}->{target}.topics": name,
            f"{alias}->{target}.groups": group,
            f"{target}->{alias}.enabled": "false",
            f"{target}->{alias}.emit.heartbeats.enabled": "false",
            "replication.factor": "1",
            **{
                f"{kind}.topic.replication.factor": "1"
                for kind in ("checkpoints", "heartbeats", "offset-syncs")
            },
            **{f"{kind}.storage.replication.factor": "1" for kind in ("offset", "config", "status")},
            "offset.storage.partitions": "1",
            "status.storage.partitions": "1",
            "refresh.topics.interval.seconds": "1",
            "emit.checkpoints.interval.seconds": "1",
            "plugin.discovery": "only_scan",
        }
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        copy = f"{alias}.{name}"
        with running("org.apache.kafka.connect.mirror.MirrorMaker", str(path), folder=folder) as process:
            until(lambda: copy in admin.list_topics(timeout=WAIT_S).topics)
            partitions = admin.list_topics(copy, timeout=WAIT_S).topics[copy].partitions
            case.saw("partitions", len(partitions))
            found = until(lambda: mirrored(case, copy, 3))
            case.saw("records", found)
            sent(case, name, "four")
            case.saw("and one more", until(lambda: mirrored(case, copy, 4)))
            process.terminate()
        case.saw("retention", config_of(admin, copy, "retention.ms"))


def config_of(admin: AdminClient, name: str, config: str) -> str:
    (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)]).values()
    return str(future.result(WAIT_S)[config].value)


def mirrored(case: Case, name: str, count: int) -> list[str]:
    """The values in all partitions, if there are so many."""
    consumer = Consumer(
        {"bootstrap.servers": case.bootstrap, "group.id": "none", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(name, index, 0) for index in (0, 1)])
    found = []
    while len(found) < count and (record := consumer.poll(2)) is not None:
        if record.error() is None:
            found.append(record.value().decode())
    consumer.close()
    return found if len(found) == count else []
