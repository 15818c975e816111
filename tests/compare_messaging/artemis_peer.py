"""ActiveMQ Artemis as a peer: its jars come from Maven when something is recorded; a Java file starts it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench.messaging_peers import accepts
from bench.peers import Peer, free_ports

HERE = Path(__file__).resolve().parent / "artemis"


class Artemis(Peer):
    """See the module."""

    name = "ActiveMQ Artemis"
    VERSION = "2.44.0"
    """That of the jars."""

    def __init__(self) -> None:
        super().__init__()
        self.version = self.VERSION
        (self.port,) = free_ports(1)

    @classmethod
    def missing(cls) -> str:
        tools = [tool for tool in ("java", "mvn") if not shutil.which(tool)]
        return f"no {' and no '.join(tools)} on PATH: install Debian's default-jdk-headless and maven" * bool(
            tools
        )

    def start(self) -> None:
        jars = self.data / "jars"
        command = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
        subprocess.run([*command, f"-DoutputDirectory={jars}"], check=True)
        self._spawn(["java", "-cp", f"{jars}/*", str(HERE / "Artemis.java"), str(self.port)])
        self._await_ready(lambda: accepts(self.port))
