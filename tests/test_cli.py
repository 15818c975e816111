"""The `pillarbox` command as operators and container tools meet it: words, exit codes, one line per error.

Every test runs the command as a process of its own, in an environment without a single PILLARBOX_ variable.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from pillarbox import Broker, StartupError, __version__
from pillarbox.broker.auth import Permission
from pillarbox.config import DATA_FOLDER, OPTIONS, Config, ConfigError
from pillarbox.ops import cli

TIMEOUT_S = 20
STARTUP_LINE = re.compile(rf"pillarbox {re.escape(__version__)} startup complete: amqp (\S+):(\d+).*\n")


def environment(**extra: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PILLARBOX_", "RABBITMQ_"))
    }
    # Tests run side by side, and the management API has a port of its own.
    return {**kept, "PILLARBOX_MANAGEMENT_PORT": "off", "PILLARBOX_PROMETHEUS_PORT": "off", **extra}


def pillarbox(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pillarbox", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environment() if env is None else env,
        check=False,
    )


def assert_one_line_error(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith("pillarbox: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("\n")
    for word in words:
        assert word in done.stderr


class Served:
    """A `pillarbox serve` that has said that its startup is complete."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], TIMEOUT_S)
        assert readable, "no startup line"
        line = process.stdout.readline()
        match = STARTUP_LINE.fullmatch(line)
        assert match, f"{line!r} {process.stderr.read() if process.stderr and not line else ''}"
        self.process = process
        self.host, self.port = match[1].strip("[]"), int(match[2])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Signal it; return its exit code and what it wrote to standard error."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, stderr


@contextlib.contextmanager
def serve(*arguments: str, env: dict[str, str] | None = None) -> Iterator[Served]:
    process = subprocess.Popen(
        [sys.executable, "-m", "pillarbox", "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() if env is None else env,
    )
    try:
        yield Served(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=TIMEOUT_S)


@contextlib.contextmanager
def connected(broker: Served, login: str = "guest:guest", vhost: str = "%2F") -> Iterator[BlockingChannel]:
    """Yield a channel of a real client."""
    url = f"amqp://{login}@127.0.0.1:{broker.port}/{vhost}?socket_timeout={TIMEOUT_S}"
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection.channel()
    finally:
        with contextlib.suppress(pika.exceptions.AMQPError):
            connection.close()


def test_log_goes_to_a_file_and_to_a_new_one_when_that_was_moved(tmp_path: Path) -> None:
    """As logrotate does it: the file is moved, and the broker is told nothing."""
    file, moved = tmp_path / "broker.log", tmp_path / "broker.log.1"
    options = ("--memory", "--port", "0", "--log-file", str(file))
    with serve(*options) as broker:
        assert file.exists()
        file.rename(moved)
        _, stderr = broker.stop()
    assert stderr == ""
    assert "stopped" in file.read_text()


def test_log_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    missing = tmp_path / "none" / "broker.log"
    done = pillarbox("serve", "--memory", "--port", "0", "--log-file", str(missing))
    assert_one_line_error(done, 1, f"cannot write the log to {missing}: No such file or directory")


def test_ping_says_that_there_is_no_port_to_ask() -> None:
    done = pillarbox(
        "ping", "--port", "off", env=environment(PILLARBOX_TLS_CERTIFICATE="c", PILLARBOX_TLS_KEY="k")
    )
    assert_one_line_error(done, 1, "there is no port without TLS to ask: port is off")


@pytest.mark.row("R99", "R91", "R92")
def test_first_user_has_the_tags_and_permissions_that_were_asked_for() -> None:
    with Broker(
        default_user_tags=("monitoring",), default_permissions_configure="^$", default_permissions_read="^r"
    ) as broker:
        user, permissions = broker.call(
            lambda server: (
                server.core.users.by_name["guest"],
                list(server.core.users.permissions.values()),
            )
        )
    assert user.tags == ("monitoring",)
    assert permissions == [Permission("guest", "/", "^$", ".*", "^r")]


# Words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_command(arguments: list[str]) -> None:
    done = pillarbox(*arguments)
    assert done.returncode == 0
    assert done.stderr == ""
    for name, help_text in cli.COMMANDS.items():
        assert f"  {name}" in done.stdout
        assert help_text in " ".join(done.stdout.split())


def test_version_is_the_packages() -> None:
    done = pillarbox("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"pillarbox {__version__}\n", "")


def test_serve_help_is_a_manual_of_all_options() -> None:
    """Every option with its help, default and variables, grouped as in the manual."""
    words = " ".join(pillarbox("serve", "--help").stdout.split())
    for option in OPTIONS:
        assert f"{option.row.section}:" in words
        assert option.flag in words
        assert option.row.help.replace("`", "") in words
        assert f"[default: {option.default_text}; env: {', '.join(option.env)}]" in words


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = pillarbox(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: pillarbox {command}")


def test_resource_without_a_verb_tells_its_verbs() -> None:
    assert pillarbox("queues").stdout == pillarbox("queues", "--help").stdout
    assert pillarbox("queues").returncode == 0


@pytest.mark.parametrize("arguments", [["--help"], ["ping", "--help"], ["serve", "--help"]])
def test_help_loads_no_broker(arguments: list[str]) -> None:
    """Commands start fast because they import only what they use."""
    program = (
        "import sys; from pillarbox.ops.cli import main\n"
        "main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    loaded = set(done.stderr.split())
    assert "pillarbox.ops.cli" in loaded
    assert not {"asyncio", "uvloop", "pillarbox.app", "pillarbox.broker", "pillarbox.engine"} & loaded


# Mistakes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sevre"], ["sevre", "Did you mean 'serve'?"]),
        (["nothing-like-it"], ["nothing-like-it", "pillarbox --help"]),
        (["queues", "lst"], ["lst"]),
        (["serve", "--prot", "1"], ["--prot", "--port"]),
        (["serve", "surplus"], ["surplus"]),
        (["serve", "--port"], ["--port"]),
        (["serve", "--port", "70000"], ["--port", "65535", "70000"]),
        (["serve", "--memory-budget", "lots"], ["--memory-budget", "64MB", "lots"]),
        (["serve", "--heartbeat", "soon"], ["--heartbeat", "60", "soon"]),
        (["serve", "--as", "rabbitmq:2"], ["--profile", "rabbitmq:3.13, rabbitmq:4.3", "rabbitmq:2"]),
        (["serve", "--durability", "none"], ["--durability", "fsync", "none"]),
        (["serve", "--kafka-authorizer", "x"], ["--kafka-authorizer must be one of permissions, acl,"]),
        (["serve", "--config", "/nowhere.toml"], ["/nowhere.toml", "No such file"]),
        (["ping", "--timeout", "never"], ["--timeout", "never"]),
        (["ping", "--timeout", "0"], ["--timeout", "at least 1s", "0"]),
        (["check", "/a", "--data", "/b"], ["--data"]),
    ],
    ids=" ".join,
)
def test_wrong_command_line_is_one_line_and_exit_2(arguments: list[str], words: list[str]) -> None:
    assert_one_line_error(pillarbox(*arguments), cli.EXIT_USAGE, *words)


def test_wrong_variable_is_named() -> None:
    done = pillarbox("serve", env=environment(PILLARBOX_PORT="high"))
    assert_one_line_error(done, cli.EXIT_USAGE, "PILLARBOX_PORT", "high")


def test_wrong_line_in_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pillarbox.toml"
    file.write_text("prot = 1\n")
    assert_one_line_error(
        pillarbox("serve", "--config", str(file)), cli.EXIT_USAGE, str(file), "prot", '"port"'
    )


def test_own_bug_is_one_line_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ZeroDivisionError("of ours")

    module = types.ModuleType("broken")
    module.command = click.Command("broken", callback=fail)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillarbox.ops.cli.broken", module)
    monkeypatch.setitem(cli.COMMANDS, "broken", "Fails.")
    monkeypatch.delenv("PILLARBOX_LOG_LEVEL", raising=False)
    assert cli.main(["broken"]) == cli.EXIT_FAILED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "ZeroDivisionError: of ours" in printed.err
    monkeypatch.setenv("PILLARBOX_LOG_LEVEL", "debug")
    with pytest.raises(ZeroDivisionError):
        cli.main(["broken"])


# serve ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def hanging_up(handler: signal.Handlers) -> Iterator[None]:
    """Have what is started meanwhile begin with this for SIGHUP, whatever these tests were started with."""
    former = signal.signal(signal.SIGHUP, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, former)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_serve_says_when_it_is_ready_and_stops_when_told(number: signal.Signals, tmp_path: Path) -> None:
    with hanging_up(signal.SIG_DFL), serve("--port", "0", "--data", str(tmp_path / "data")) as broker:
        assert pillarbox("ping", "--port", str(broker.port)).returncode == 0
        status, stderr = broker.stop(number)
    assert status == 0
    assert "Traceback" not in stderr


def test_serve_under_nohup_outlives_its_terminal() -> None:
    """Which has SIGHUP ignored, and so it stays."""
    with hanging_up(signal.SIG_IGN), serve("--port", "0", "--memory") as broker:
        broker.process.send_signal(signal.SIGHUP)
        assert pillarbox("ping", "--port", str(broker.port)).returncode == 0
        assert broker.stop()[0] == 0


def test_serve_in_memory_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    with serve("--port", "0", "--memory", "--data", str(tmp_path / "data")) as broker:
        assert broker.stop()[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_serve_keeps_its_data_where_it_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with serve("--port", "0", env=environment(PILLARBOX_DATA=str(folder))) as broker:
        broker.stop()
    assert list(folder.iterdir())


def test_serve_warns_of_a_misspelt_variable_and_starts(tmp_path: Path) -> None:
    with serve("--port", "0", "--memory", env=environment(PILLARBOX_PROT="1")) as broker:
        _, stderr = broker.stop()
    assert (
        'warning: the environment variable "PILLARBOX_PROT" is unknown; did you mean "PILLARBOX_PORT"?'
        in stderr
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_confirmed_message_is_there_after_the_next_start(number: signal.Signals, tmp_path: Path) -> None:
    with serve("--port", "0", "--data", str(tmp_path)) as broker:
        with connected(broker) as channel:
            channel.queue_declare("orders", durable=True)
            channel.confirm_delivery()
            channel.basic_publish("", "orders", b"tea", pika.BasicProperties(delivery_mode=2))
            if number is signal.SIGKILL:
                broker.stop(number)
        if number is not signal.SIGKILL:
            broker.stop(number)
    with serve("--port", "0", "--data", str(tmp_path)) as broker, connected(broker) as channel:
        _, _, body = channel.basic_get("orders", auto_ack=True)
        assert body == b"tea"


def test_rabbitmqs_variables_name_the_user_who_can_log_in(tmp_path: Path) -> None:
    """T17: compose files and test containers set these."""
    env = environment(
        RABBITMQ_DEFAULT_USER="shop", RABBITMQ_DEFAULT_PASS="s3cret", RABBITMQ_DEFAULT_VHOST="v"
    )
    with serve("--port", "0", "--data", str(tmp_path), env=env) as broker:
        with connected(broker, "shop:s3cret", "v") as channel:
            assert channel.is_open
        with pytest.raises(pika.exceptions.ProbableAuthenticationError), connected(broker):
            pass
    # A later start does not look at them.
    with (
        serve("--port", "0", "--data", str(tmp_path)) as broker,
        connected(broker, "shop:s3cret", "v") as channel,
    ):
        assert channel.is_open


def test_taken_port_is_one_line_and_exit_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = pillarbox("serve", "--memory", "--host", "127.0.0.1", "--port", str(port))
    assert_one_line_error(done, cli.EXIT_FAILED, str(port), "in use")


def test_host_that_is_not_ours_is_one_line_and_exit_1() -> None:
    """192.0.2.1 is an address for documentation: no machine has it."""
    assert_one_line_error(pillarbox("serve", "--memory", "--host", "192.0.2.1"), cli.EXIT_FAILED, "192.0.2.1")


def test_folder_of_a_running_broker_is_one_line_and_exit_1(tmp_path: Path) -> None:
    with serve("--port", "0", "--data", str(tmp_path)):
        done = pillarbox("serve", "--port", "0", "--data", str(tmp_path))
    assert_one_line_error(done, cli.EXIT_FAILED, str(tmp_path))


def test_folder_that_cannot_be_made_is_one_line_and_exit_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = str(tmp_path / "file" / "data")
    assert_one_line_error(pillarbox("serve", "--port", "0", "--data", folder), cli.EXIT_FAILED, folder)


def test_folder_of_something_else_is_one_line_exit_1_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    done = pillarbox("serve", "--port", "0", "--data", str(tmp_path))
    assert_one_line_error(done, cli.EXIT_FAILED, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_definitions_that_cannot_be_read_are_one_line_and_exit_1(tmp_path: Path) -> None:
    done = pillarbox("serve", "--port", "0", "--memory", "--load-definitions", str(tmp_path / "missing.json"))
    assert_one_line_error(done, cli.EXIT_FAILED, "missing.json: No such file or directory")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"queues": [{"name": "q", "vhost": "shop"}]}, "queues[0] (q): there is no virtual host 'shop'"),
        (
            {"exchanges": [{"name": "amq.mine", "vhost": "/", "type": "topic"}]},
            "exchanges[0] (amq.mine): exchange name 'amq.mine' contains reserved prefix 'amq.*'",
        ),
    ],
)
def test_definitions_that_cannot_be_added_are_one_line_and_exit_1(
    tmp_path: Path, document: dict[str, object], told: str
) -> None:
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps(document))
    done = pillarbox("serve", "--port", "0", "--memory", "--load-definitions", str(file))
    assert_one_line_error(done, cli.EXIT_FAILED, told)


def test_host_without_an_address_is_one_line_and_exit_1() -> None:
    """RFC 2606: no name under .invalid can be resolved."""
    done = pillarbox("serve", "--port", "0", "--memory", "--host", "nowhere.invalid")
    assert_one_line_error(done, cli.EXIT_FAILED, "nowhere.invalid")
    assert "Unknown error" not in done.stderr


def test_host_of_two_colons_is_every_address_of_both_families() -> None:
    """The manual's word for it; what listens for IPv6 alone is nothing that a client of IPv4 can reach."""
    ports = environment(PILLARBOX_HOST="::", PILLARBOX_MANAGEMENT_PORT="0")
    with serve("--memory", "--port", "0", env=ports) as broker:
        for address in ("127.0.0.1", "::1"):
            done = pillarbox("ping", "--host", address, "--port", str(broker.port))
            assert done.returncode == 0, done.stderr
        assert pillarbox("ping", "--host", "::", "--port", str(broker.port)).returncode == 0


def test_port_that_is_taken_on_one_of_two_addresses_stops_the_start() -> None:
    """Whoever says `localhost` may be led to the other address, and so to another program."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        done = pillarbox("serve", "--memory", "--port", str(port))
    assert_one_line_error(done, cli.EXIT_FAILED, f"cannot listen on ::1:{port}: Address already in use")


def test_account_without_a_home_needs_one_for_the_usual_data_folder_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A container may run as a user that nothing knows: no HOME, and no entry in passwd."""

    def nobody(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nobody)
    assert Config().data == DATA_FOLDER
    with Broker() as broker:
        assert broker.amqp_port
    with pytest.raises(StartupError, match=r"there is no home folder for ~/.*: name a data folder"):
        Broker(DATA_FOLDER).start()
    with pytest.raises(ConfigError, match="data: there is no home folder for"):
        Config(data="~somebody/data")


# ping ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def answering(*chunks: bytes, stay: bool = False) -> Iterator[int]:
    """Listen on a free port; send each client these bytes and hang up, or `stay` silent after them."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            with peer, contextlib.suppress(OSError):
                for chunk in chunks:
                    peer.sendall(chunk)
                over.wait(TIMEOUT_S if stay else 0)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join(TIMEOUT_S)


START = b"\x01\x00\x00\x00\x00\x00\x09\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\xce"


@pytest.mark.parametrize("chunks", [[START], [START[:3], START[3:8], START[8:]]], ids=["whole", "in pieces"])
def test_ping_of_a_broker_is_one_line_and_exit_0(chunks: Sequence[bytes]) -> None:
    with answering(*chunks, stay=True) as port:
        done = pillarbox("ping", "--host", "127.0.0.1", "--port", str(port))
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"127\.0\.0\.1:{port} answers \(\d+\.\d ms\)\n", done.stdout)


@pytest.mark.parametrize(
    ("chunks", "stay", "words"),
    [
        ([], False, "closed before AMQP was offered"),
        ([], True, "no answer within 1 s"),
        ([b"AMQP\x00\x01\x00\x00"], False, "does not speak AMQP 0-9-1"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], False, "does not speak AMQP 0-9-1"),
        ([START[:-1] + b"\x00"], False, "does not speak AMQP 0-9-1"),
        ([START[:7] + b"\x00\x14\x00\x0a" + START[11:]], False, "does not speak AMQP 0-9-1"),
    ],
)
def test_ping_of_anything_else_is_one_line_and_exit_1(chunks: list[bytes], stay: bool, words: str) -> None:
    with answering(*chunks, stay=stay) as port:
        done = pillarbox("ping", "--host", "127.0.0.1", "--port", str(port), "--timeout", "1")
    assert_one_line_error(done, cli.EXIT_FAILED, f"ping 127.0.0.1:{port} failed", words)


def test_ping_where_nothing_listens_is_one_line_and_exit_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = pillarbox("ping", "--host", "127.0.0.1", "--port", str(port))
    assert_one_line_error(done, cli.EXIT_FAILED, "Connection refused")


def test_ping_finds_a_broker_that_listens_on_every_address() -> None:
    """A health check inside a container has the same environment as the broker."""
    with answering(START, stay=True) as port:
        env = environment(PILLARBOX_HOST="0.0.0.0", PILLARBOX_PORT=str(port))
        assert pillarbox("ping", env=env).returncode == 0


@pytest.mark.parametrize("command", ["ping", "check", "backup"])
def test_help_says_what_an_option_means_to_this_command(command: str) -> None:
    """And not what it means to `serve`, which listens and makes folders."""
    words = " ".join(pillarbox(command, "--help").stdout.split())
    for name in ("host", "port", "data"):
        row = next(option.row for option in OPTIONS if option.name == name)
        assert row.help.replace("`", "")[:40] not in words


# backup --------------------------------------------------------------------------------------------------


def test_backup_of_a_running_broker_has_what_was_confirmed(tmp_path: Path) -> None:
    data, copy = str(tmp_path / "data"), str(tmp_path / "copy")
    with serve("--port", "0", "--data", data) as broker:
        with connected(broker) as channel:
            channel.queue_declare("orders", durable=True)
            channel.confirm_delivery()
            channel.basic_publish("", "orders", b"tea", pika.BasicProperties(delivery_mode=2))
            done = pillarbox("backup", copy, "--data", data)
            channel.basic_publish("", "orders", b"milk", pika.BasicProperties(delivery_mode=2))
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(
            rf"{data} is copied to {copy} \(\d+ files?, \d+ bytes\); it is sound\n", done.stdout
        )
        broker.stop()
    checked = pillarbox("check", copy)
    assert checked.returncode == 0
    assert "1 queue with 1 stored message (about" in checked.stdout
    assert "the one record with unsettled messages is intact" in checked.stdout
    with serve("--port", "0", "--data", copy) as broker, connected(broker) as channel:
        assert channel.basic_get("orders", auto_ack=True)[2] == b"tea"
        assert channel.basic_get("orders", auto_ack=True)[2] is None


def test_backup_to_or_from_the_wrong_folder_is_one_line_and_exit_1(tmp_path: Path) -> None:
    data, full = str(tmp_path / "data"), tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("years of work")
    done = pillarbox("backup", str(tmp_path / "copy"), "--data", data)
    assert_one_line_error(done, cli.EXIT_FAILED, f"{data} is not a Pillarbox data folder")
    with serve("--port", "0", "--data", data) as broker:
        broker.stop()
    done = pillarbox("backup", str(full), "--data", data)
    assert_one_line_error(done, cli.EXIT_FAILED, f"the folder {full} is not empty")
    assert [path.name for path in full.iterdir()] == ["thesis.tex"]
    (tmp_path / "data" / "novelty").mkdir()
    done = pillarbox("backup", str(tmp_path / "copy"), "--data", data)
    assert_one_line_error(done, cli.EXIT_FAILED, "holds novelty, which cannot be copied")


# check ---------------------------------------------------------------------------------------------------


def test_check_of_a_stopped_brokers_folder_is_exit_0(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    with serve("--port", "0", "--data", folder) as broker:
        broker.stop()
    done = pillarbox("check", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"{folder} is sound\n")


def test_check_of_a_damaged_message_is_exit_1_and_says_where(tmp_path: Path) -> None:
    with serve("--port", "0", "--data", str(tmp_path)) as broker:
        with connected(broker) as channel:
            channel.queue_declare("orders", durable=True)
            channel.basic_publish("", "orders", b"first flush", pika.BasicProperties(delivery_mode=2))
        broker.stop()
    [file] = [path for path in tmp_path.rglob("*") if path.is_file() and b"first flush" in path.read_bytes()]
    file.write_bytes(file.read_bytes().replace(b"first flush", b"first blush"))
    done = pillarbox("check", str(tmp_path))
    assert done.returncode == cli.EXIT_FAILED
    assert "sound" not in done.stdout
    assert re.fullmatch(r"(pillarbox: .+\n)+", done.stderr)


def test_check_of_a_folder_in_use_is_one_line_and_exit_1(tmp_path: Path) -> None:
    with serve("--port", "0", "--data", str(tmp_path)):
        assert_one_line_error(pillarbox("check", str(tmp_path)), cli.EXIT_FAILED, str(tmp_path))


def test_check_of_a_missing_folder_is_one_line_and_exit_1(tmp_path: Path) -> None:
    folder = str(tmp_path / "missing")
    assert_one_line_error(pillarbox("check", folder), cli.EXIT_FAILED, folder)
    assert not Path(folder).exists()
