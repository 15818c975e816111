"""Peers that speak MQTT or STOMP and no AMQP 0-9-1: Mosquitto and ActiveMQ Classic, as Debian has them.

Each is a process on free ports, as those of `bench.peers` are.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers import HOST, Peer, free_ports

XML = """<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans
    http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
    http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="localhost" {options}>
    {elements}
    <transportConnectors><transportConnector name="stomp" uri="{uri}"/></transportConnectors>
  </broker>
</beans>
"""
"""What ActiveMQ reads where it is configured by more than an address."""


def accepts(port: int) -> bool:
    """Does somebody listen there?"""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


class Mosquitto(Peer):
    """Debian's Mosquitto with what it is told by default, but for anonymous clients; `config` adds lines."""

    name = "Mosquitto"
    PROGRAM = Path("/usr/sbin/mosquitto")

    def __init__(self, *, config: Sequence[str] = ()) -> None:
        super().__init__()
        self.config = tuple(config)
        (self.port,) = free_ports(1)

    @classmethod
    def _program(cls) -> str | None:
        return shutil.which("mosquitto") or (str(cls.PROGRAM) if cls.PROGRAM.exists() else None)

    @classmethod
    def missing(cls) -> str:
        return "" if cls._program() else "no mosquitto on PATH: install Debian's mosquitto"

    def start(self) -> None:
        program = self._program() or "mosquitto"
        said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"version ([\d.]+)", said)
        self.version = version[1] if version else "?"
        file = self.data / "mosquitto.conf"
        lines = (f"listener {self.port} {HOST}", "allow_anonymous true", *self.config, "")
        file.write_text("\n".join(lines))
        self._spawn([program, "-c", str(file)])
        self._await_ready(lambda: accepts(self.port))


class ActiveMQ(Peer):
    """Debian's ActiveMQ Classic with persistence and its scheduler, and nothing but STOMP.

    `java` adds arguments for the virtual machine, `use_jmx` its management beans, `configuration` what
    stands in `<broker>`.
    """

    name = "ActiveMQ"
    JAR = Path("/usr/share/activemq/bin/activemq.jar")
    LIBRARIES = Path("/usr/share/java"), ("xstream.jar", "xpp3.jar", "jettison.jar")
    """Debian leaves them out of its path, and without them no advisory, or copy of what waits, leaves."""

    def __init__(
        self,
        *,
        java: Sequence[str] = (),
        use_jmx: bool = False,
        configuration: str = "",
    ) -> None:
        super().__init__()
        self.java = tuple(java)
        self.use_jmx = use_jmx
        self.configuration = configuration
        (self.port,) = free_ports(1)

    @classmethod
    def missing(cls) -> str:
        if not cls.JAR.exists():
            return f"no {cls.JAR}: install Debian's activemq"
        return "" if shutil.which("java") else "no java on PATH: install Debian's default-jre-headless"

    def start(self) -> None:
        options = {
            "dataDirectory": str(self.data),
            "schedulerSupport": "true",
            "useJmx": str(self.use_jmx).lower(),
        }
        said = "&".join(f"{name}={value}" for name, value in options.items())
        folder, names = self.LIBRARIES
        (self.data / "lib").mkdir()
        for name in names:
            (self.data / "lib" / name).symlink_to(folder / name)
        places = [f"-Dactivemq.{name}={self.data}" for name in ("base", "conf", "data")]
        command = ["java", "-Dactivemq.home=/usr/share/activemq", *places, *self.java]
        command += ["-jar", str(self.JAR), "start"]
        command.append(self._configured(options) or f"broker:(stomp://{HOST}:{self.port})?{said}")
        self._spawn(command)
        self._await_ready(lambda: accepts(self.port))
        try:
            self.version = self._asked_version()
        except BaseException:
            self.kill()
            raise

    def _configured(self, options: Mapping[str, str]) -> str:
        """Where the configuration is that was given; nothing if there is none."""
        if not self.configuration:
            return ""
        file = self.data / "activemq.xml"
        said = " ".join(f'{name}="{value}"' for name, value in options.items())
        file.write_text(
            XML.format(options=said, elements=self.configuration, uri=f"stomp://{HOST}:{self.port}")
        )
        return f"xbean:file:{file}"

    def _asked_version(self) -> str:
        with socket.create_connection((HOST, self.port), timeout=30) as peer:
            peer.sendall(b"CONNECT\naccept-version:1.2\nhost:localhost\n\n\0")
            found = re.search(rb"server:ActiveMQ/([\d.]+)", peer.recv(4096))
        return found[1].decode() if found else "?"
