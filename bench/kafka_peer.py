"""A real Apache Kafka: one KRaft node on free loopback ports, and the class path of its console tools.

    with Kafka() as peer:
        connect(peer.bootstrap)

Broker and tools come from Maven's repository into Maven's own cache (`bench/kafka.pom.xml`); nothing else is
installed. The class path is kept beside this interpreter's environment, so Maven is asked once. Java 17 and
Maven are Debian's default-jdk-headless and maven.

The settings are Kafka's defaults but for what one node needs (a replication factor of 1), what spares time
(no delay before a group's first rebalance, one partition for each internal topic, a look for old segments
every second) and SASL on a port of its own.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers import HOST, Peer, PeerError, free_ports
from scripts.kafka_codec.package import NEWEST

POM = Path(__file__).resolve().with_name("kafka.pom.xml")
DOWNLOAD_TIMEOUT_S = 300.0

SMALL_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""A virtual machine that starts quickly and takes little; not one to measure."""
USUAL_JVM = ("-Xmx1G", "-Xms1G", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
"""What Kafka's own start script asks for."""

USERS = {"admin": "admin-secret", "alice": "alice-secret"}
"""Those who may log in on the SASL port, with PLAIN and both SCRAMs."""
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")

API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
"""An ApiVersions request of version 0 without a client id."""


def missing() -> str:
    """Return why no Kafka can be had here, or the empty string."""
    absent = [name for name in ("java", "javac", "mvn") if shutil.which(name) is None]
    return f"no {' and no '.join(absent)} on PATH (Debian: default-jdk-headless, maven)" if absent else ""


def class_path(release: str = NEWEST) -> str:
    """Return the class path of a release's broker and tools; Maven fetches what is not in its cache."""
    kept = Path(sys.prefix) / f"kafka-{release}.classpath"
    if kept.exists() and all(Path(each).exists() for each in kept.read_text().split(os.pathsep)):
        return kept.read_text()
    command = ["mvn", "-q", "-B", "-f", str(POM), f"-Dkafka.version={release}"]
    command += ["dependency:build-classpath", f"-Dmdep.outputFile={kept}"]
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=DOWNLOAD_TIMEOUT_S
    )
    if done.returncode:
        raise PeerError(f"Maven cannot get Kafka {release}:\n{done.stdout[-2000:]}")
    return kept.read_text()


def answers_kafka(port: int) -> bool:
    """Tell whether a broker on `port` answers an ApiVersions request."""
    try:
        with socket.create_connection((HOST, port), timeout=5) as connection:
            connection.sendall(API_VERSIONS)
            return len(connection.recv(4)) == 4
    except OSError:
        return False


class Kafka(Peer):
    """A broker that is its own controller. `config` is added to server.properties or stands in for it."""

    name = "Kafka"

    def __init__(
        self,
        *,
        config: Mapping[str, str] | None = None,
        release: str = NEWEST,
        jvm: Sequence[str] = SMALL_JVM,
        data: Path | None = None,
    ) -> None:
        super().__init__(data=data)
        self.config = dict(config or {})
        self.version = release
        self.jvm = tuple(jvm)
        self.port, self.sasl_port, self.controller_port = free_ports(3)

    @classmethod
    def missing(cls) -> str:
        return missing()

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def sasl_bootstrap(self) -> str:
        return f"{HOST}:{self.sasl_port}"

    def start(self) -> None:
        properties = self.data / "server.properties"
        if not properties.exists():
            lines = {**self._defaults(), **self.config}
            properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
            self._format(properties)
        self._spawn([*self._java(), "kafka.Kafka", str(properties)])
        self._await_ready(lambda: answers_kafka(self.port))

    def _java(self) -> list[str]:
        simple = "-Dorg.slf4j.simpleLogger."
        return ["java", *self.jvm, f"{simple}defaultLogLevel=warn", "-cp", class_path(self.version)]

    def _format(self, properties: Path) -> None:
        command = [*self._java(), "kafka.tools.StorageTool", "format", "--standalone"]
        command += ["--cluster-id", "cGlsbGFyYm94LXBlZXItMQ", "--config", str(properties)]
        for user, password in USERS.items():
            for mechanism in SCRAM:
                command += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise PeerError(f"Kafka's storage cannot be formatted:\n{done.stdout}{done.stderr}")

    def _defaults(self) -> dict[str, str]:
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        sasl = "listener.name.sasl_plaintext"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"{HOST}:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{HOST}:{self.port},SASL_PLAINTEXT://{HOST}:{self.sasl_port},"
            f"CONTROLLER://{HOST}:{self.controller_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,"
            "CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": ",".join(("PLAIN", *SCRAM)),
            f"{sasl}.plain.sasl.jaas.config": f"{login} {users};",
            **{f"{sasl}.{mechanism.lower()}.sasl.jaas.config": scram for mechanism in SCRAM},
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "super.users": "User:ANONYMOUS;User:admin",
            "log.dirs": str(self.data / "logs"),
            "log.retention.check.interval.ms": "1000",
            "group.initial.rebalance.delay.ms": "0",
            **{
                f"{topic}.{setting}": "1"
                for topic, settings in INTERNAL_TOPICS.items()
                for setting in settings
            },
        }


INTERNAL_TOPICS = {
    "offsets.topic": ("replication.factor", "num.partitions"),
    "transaction.state.log": ("replication.factor", "min.isr", "num.partitions"),
    "share.coordinator.state.topic": ("replication.factor", "min.isr", "num.partitions"),
}
"""What makes each internal topic one of one node, by the prefix of its settings."""
