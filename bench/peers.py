"""Real brokers, each started on free loopback ports with a data folder of its own and stopped by process id.

    with RabbitMQ(plugins=("rabbitmq_management",)) as peer:
        connect("127.0.0.1", peer.amqp_port)

A peer is a context manager; `start`, `stop` (graceful), `kill` (SIGKILL) and `restart` (same data folder and
ports) are there for tests that look at what survives. Every peer has `name`, `version`, `amqp_port`, `pid`
(the process that does the work, for CPU time and resident memory) and `data`. A peer that is not installed
says why through `missing()`; `found()` lists the installed ones and prints that reason for the others.

Not here: load, measurement, protocol clients.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

HOST = "127.0.0.1"
READY_TIMEOUT_S = 60.0  # RabbitMQ needs 3 to 6 s on an idle machine, many times that on a busy one.
STOP_TIMEOUT_S = 30.0  # After this a peer that was asked to stop is killed.

WITH_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
"""Environment in which Python keeps what it has compiled, as every installed package does. Where that is
forbidden, a start compiles all of the source first, which takes longer than all the rest of it."""


NOT_EPHEMERAL = range(10_000, 32_768)
"""Ports that Linux gives to nobody who has not named them, as `ip_local_port_range` usually stands."""


class PeerError(Exception):
    """A peer did not start; the message ends with what it printed."""


def free_ports(count: int) -> list[int]:
    """Return `count` different loopback ports that were free a moment ago. They lie below those from which
    the system takes one for whoever asks for any, so no connection gets one before its server does."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            port = secrets.choice(NOT_EPHEMERAL)
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server((HOST, port)))
                ports.append(port)
    return ports


def await_true(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Ask `condition` every 5 ms until it holds; raise PeerError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise PeerError(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.005)


def answers_amqp(port: int) -> bool:
    """Tell whether a broker on `port` answers the AMQP 0-9-1 protocol header with a method frame."""
    try:
        with socket.create_connection((HOST, port), timeout=5) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for localhost in `folder`; return the paths of certificate and key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "30",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    key.chmod(0o644)  # A throw-away key; the peer may run as another user.
    return certificate, key


class Peer:
    """A broker process: started on enter, stopped on exit, its temporary data folder then removed.

    `data`: use this folder and leave it there (default: a temporary one). `tls`: also listen on `amqps_port`
    with the self-signed certificate `certificate`.
    """

    name: ClassVar[str] = ""

    def __init__(self, *, data: Path | None = None, tls: bool = False) -> None:
        self.keeps_data = data is not None
        self.data = data if data is not None else Path(tempfile.mkdtemp(prefix=f"{self.name.lower()}-"))
        self.tls = tls
        self.certificate, self.key = make_certificate(self.data) if tls else (Path(), Path())
        self.version = ""
        self.amqp_port = self.amqps_port = self.management_port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.output = self.data / "stdout.txt"

    @classmethod
    def missing(cls) -> str:
        """Return why this peer cannot be started here, or the empty string."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the broker and return when it answers."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process id of the broker proper."""
        assert self.process is not None, "not started"
        return self.process.pid

    @property
    def amqp_url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self.amqp_port}/"

    def stop(self) -> None:
        """Stop gracefully (SIGTERM) and wait; kill what has not ended within STOP_TIMEOUT_S."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker at once, as a crash would."""
        self._signal(signal.SIGKILL)

    def restart(self) -> None:
        """Stop gracefully and start again on the same data folder."""
        self.stop()
        self.start()

    def printed(self) -> str:
        """Return what the broker wrote to its standard output and error so far."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _spawn(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, user: str | None = None
    ) -> None:
        """Start `command` in its own session (a Ctrl-C ends it only by __exit__), its output in a file."""
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd=self.data,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                start_new_session=True,
            )

    def _await_ready(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready`; on an early end or a timeout clean up and raise PeerError with the output."""

        def ready_or_ended() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise PeerError(f"{self.name} ended with {self.process.returncode} while starting")
            return ready()

        try:
            await_true(ready_or_ended, READY_TIMEOUT_S, f"{self.name} ready")
        except PeerError as error:
            printed = self.printed()[-2000:]
            self.kill()
            raise PeerError(f"{error}\n{printed}") from None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._remove()

    def _remove(self) -> None:
        if not self.keeps_data:
            shutil.rmtree(self.data, ignore_errors=True)

    def __repr__(self) -> str:
        state = f"pid={self.process.pid}" if self.process else "stopped"
        return f"<{type(self).__name__} {self.version} {state} amqp={self.amqp_port}>"


EXCHANGE_PLUGINS = (
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
)
"""Those with which RabbitMQ has the exchange types that Pillarbox always has."""


class RabbitMQ(Peer):
    """RabbitMQ as Debian installs it, as a node of its own beside any other.

    `plugins` are enabled before the start; those of PLUGIN_LISTENERS get a free port each, in `ports[plugin]`
    (`management_port` names the usual one). `config` adds lines to rabbitmq.conf. Started by root it runs as
    user rabbitmq. Its port mapper daemon (epmd) is a child of ours on a free port, so that none is left
    running.
    """

    name = "RabbitMQ"
    HOME = Path("/usr/lib/rabbitmq/lib")
    USER = "rabbitmq"
    PLUGIN_LISTENERS: ClassVar[dict[str, str]] = {
        "rabbitmq_management": "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}",
        "rabbitmq_stomp": "stomp.listeners.tcp.1 = 127.0.0.1:{port}",
        "rabbitmq_mqtt": "mqtt.listeners.tcp.1 = 127.0.0.1:{port}",
        "rabbitmq_web_mqtt": "web_mqtt.tcp.ip = 127.0.0.1\nweb_mqtt.tcp.port = {port}",
        "rabbitmq_web_stomp": "web_stomp.tcp.ip = 127.0.0.1\nweb_stomp.tcp.port = {port}",
        "rabbitmq_stream": "stream.listeners.tcp.1 = 127.0.0.1:{port}",
        "rabbitmq_prometheus": "prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {port}",
    }

    def __init__(
        self,
        *,
        plugins: Sequence[str] = (),
        config: Sequence[str] = (),
        data: Path | None = None,
        tls: bool = False,
    ) -> None:
        super().__init__(data=data, tls=tls)
        self.plugins = tuple(plugins)
        self.config = tuple(config)
        self.node = f"pillarbox-{secrets.token_hex(4)}@localhost"
        self.amqp_port, self.amqps_port, self.epmd_port, self.distribution_port, *rest = free_ports(
            4 + len(plugins)
        )
        self.ports = dict(zip(plugins, rest, strict=True))
        self.management_port = self.ports.get("rabbitmq_management", 0)
        self.epmd: subprocess.Popen[bytes] | None = None
        self.user = self.USER if os.geteuid() == 0 else None
        installed = self._installed()
        self.version = installed.name.rpartition("-")[2] if installed else ""

    @classmethod
    def _installed(cls) -> Path | None:
        return max(cls.HOME.glob("rabbitmq_server-*"), default=None)

    @classmethod
    def missing(cls) -> str:
        if cls._installed() is None:
            return f"no {cls.HOME}/rabbitmq_server-*: install Debian's rabbitmq-server"
        return "" if shutil.which("epmd") else "no epmd on PATH: install Debian's erlang-base"

    @property
    def pid(self) -> int:
        """The process id of the Erlang virtual machine (the start script waits for it)."""
        assert self.process is not None, "not started"
        return int((self.data / "pid").read_text())

    def start(self) -> None:
        self._write_config()
        self.epmd = subprocess.Popen(
            ["epmd", "-address", HOST, "-port", str(self.epmd_port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            await_true(self._epmd_listens, READY_TIMEOUT_S, "epmd ready")
            self._spawn([self._script("rabbitmq-server")], self._environment(), self.user)
            self._await_ready(lambda: (self.data / "pid").exists() and answers_amqp(self.amqp_port))
        except BaseException:
            self.kill()
            raise

    def ctl(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """Run `rabbitmqctl` for this node; return what it prints, raise CalledProcessError if it fails."""
        done = self.tool("rabbitmqctl", "-q", "-n", self.node, *arguments, timeout_s=timeout_s)
        done.check_returncode()
        return done.stdout

    def tool(self, name: str, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run one of RabbitMQ's own commands beside this node."""
        return subprocess.run(
            [self._script(name), *arguments],
            env=self._environment(),
            cwd=self.data,
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user else None,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout_s,
        )

    def log(self) -> str:
        """Return the node's log so far."""
        return "".join(path.read_text(errors="replace") for path in sorted((self.data / "log").glob("*.log")))

    def _epmd_listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.epmd_port), timeout=5):
            return True
        return False

    def _signal(self, number: signal.Signals) -> None:
        try:
            process, self.process = self.process, None
            if process is not None:
                self._signal_beam(process, number)
        finally:
            if self.epmd is not None:
                self.epmd.kill()
                self.epmd.wait()
                self.epmd = None

    def _signal_beam(self, script: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """Signal the virtual machine; the start script, which waits for it, then ends by itself."""
        pid_file = self.data / "pid"
        pid = int(pid_file.read_text()) if pid_file.exists() and script.poll() is None else 0
        if pid:
            os.kill(pid, number)
        elif script.poll() is None:
            script.send_signal(number)
        try:
            script.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            script.kill()
            script.wait()
        pid_file.unlink(missing_ok=True)

    def _script(self, name: str) -> str:
        installed = self._installed()
        assert installed is not None, self.missing()
        return str(installed / "sbin" / name)

    def _environment(self) -> dict[str, str]:
        """Everything the scripts read, so that no system-wide file or running node has a say."""
        folder = str(self.data)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": folder,  # .erlang.cookie
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/no-such-file",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/generated",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _write_config(self) -> None:
        lines = [f"listeners.tcp.1 = {HOST}:{self.amqp_port}"]
        lines += [
            self.PLUGIN_LISTENERS[p].format(port=n)
            for p, n in self.ports.items()
            if p in self.PLUGIN_LISTENERS
        ]
        lines += ["disk_free_limit.absolute = 50MB"]
        if self.tls:
            lines += [f"listeners.ssl.1 = {HOST}:{self.amqps_port}", "ssl_options.verify = verify_none"]
            lines += [f"ssl_options.certfile = {self.certificate}", f"ssl_options.keyfile = {self.key}"]
        (self.data / "rabbitmq.conf").write_text("\n".join([*lines, *self.config, ""]))
        (self.data / "enabled_plugins").write_text(f"[{','.join(self.plugins)}].\n")
        if self.user:
            owner = pwd.getpwnam(self.user)
            os.chown(self.data, owner.pw_uid, owner.pw_gid)


class Pillarbox(Peer):
    """This checkout's `pillarbox serve`, run by this interpreter (or another `command`).

    `options` are added to the command line, `env` to the environment. The ports come from the line that it
    prints when it is ready.
    """

    name = "Pillarbox"
    READY = re.compile(r"pillarbox (\S+) startup complete: (.*)")
    LISTENER = re.compile(r"([a-z0-9_-]+) [^\s,]*:(\d+)")

    def __init__(
        self,
        *,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "pillarbox"),
        data: Path | None = None,
        tls: bool = False,
    ) -> None:
        super().__init__(data=data, tls=tls)
        self.options = tuple(options)
        self.env = dict(env or {})
        self.command = tuple(command)
        self.ports: dict[str, int] = {}

    @classmethod
    def missing(cls) -> str:
        command = [sys.executable, "-m", "pillarbox", "serve", "--help"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return "" if done.returncode == 0 else f"`pillarbox serve` fails: {done.stderr.strip()[-200:]}"

    def start(self) -> None:
        self.output.unlink(missing_ok=True)
        command = [*self.command, "serve", "--data", str(self.data / "data")]
        command += ["--host", HOST, "--port", "0"]
        if self.tls:
            command += [
                "--tls-port",
                "0",
                "--tls-certificate",
                str(self.certificate),
                "--tls-key",
                str(self.key),
            ]
        ports = dict.fromkeys(("PILLARBOX_MANAGEMENT_PORT", "PILLARBOX_PROMETHEUS_PORT"), "0")
        self._spawn([*command, *self.options], {**os.environ, **WITH_BYTECODE, **ports, **self.env})
        self._await_ready(self._ready)

    def _ready(self) -> bool:
        found = self.READY.search(self.printed())
        if found is None:
            return False
        self.version = found[1]
        self.ports = {name: int(port) for name, port in self.LISTENER.findall(found[2])}
        self.amqp_port = self.ports.get("amqp", 0)
        self.amqps_port = self.ports.get("amqps", 0)
        self.management_port = self.ports.get("management", self.ports.get("http", 0))
        return True


class LavinMQ(Peer):
    """LavinMQ, if its binary is on PATH. It confirms without fsync: not at equal durability in those rows."""

    name = "LavinMQ"

    @classmethod
    def missing(cls) -> str:
        return "" if shutil.which("lavinmq") else "no lavinmq on PATH"

    def start(self) -> None:
        self.amqp_port, self.management_port, self.amqps_port = free_ports(3)
        command = [
            "lavinmq",
            "--data-dir",
            str(self.data),
            "--bind",
            HOST,
            "--amqp-port",
            str(self.amqp_port),
        ]
        command += ["--http-port", str(self.management_port)]
        if self.tls:
            command += [
                "--amqps-port",
                str(self.amqps_port),
                "--cert",
                str(self.certificate),
                "--key",
                str(self.key),
            ]
        done = subprocess.run(["lavinmq", "--version"], capture_output=True, text=True)
        self.version = done.stdout.strip().rpartition(" ")[2]
        self._spawn(command)
        self._await_ready(lambda: answers_amqp(self.amqp_port))


PEERS: dict[str, type[Peer]] = {peer.name.lower(): peer for peer in (Pillarbox, RabbitMQ, LavinMQ)}


def found(names: Sequence[str] = tuple(PEERS)) -> list[type[Peer]]:
    """Return the installed ones of the named peers; print one line with the reason for every other."""
    installed = []
    for name in names:
        reason = PEERS[name].missing()
        if reason:
            print(f"skipped {PEERS[name].name}: {reason}", file=sys.stderr)
        else:
            installed.append(PEERS[name])
    return installed
