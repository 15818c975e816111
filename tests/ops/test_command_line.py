"""The commands for operators, as processes, against Pillarbox and against a real RabbitMQ (R128)."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from bench.peers import HOST, Peer, Pillarbox, RabbitMQ, free_ports
from pillarbox.ops.cli import SECTIONS
from pillarbox.ops.cli.operations import OPERATIONS

TIMEOUT_S = 60
FAST_STATISTICS = "collect_statistics_interval = 200"
"""RabbitMQ's API tells counts of messages that are as old as this, in milliseconds."""


class Operator:
    """Somebody at a shell, where the variables say which broker is meant."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        kept = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("PILLARBOX_", "RABBITMQ_"))
        }
        self.env = {**kept, "PILLARBOX_URL": f"http://{HOST}:{peer.management_port}", "LC_ALL": "C.UTF-8"}

    def run(self, *arguments: str, input: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "pillarbox", *arguments],
            capture_output=True,
            input=input,
            timeout=TIMEOUT_S,
            env={**self.env, **env},
            check=False,
        )

    def does(self, *arguments: str, input: bytes = b"") -> str:
        """What a command writes that must succeed."""
        done = self.run(*arguments, input=input)
        assert (done.returncode, done.stderr) == (0, b""), (arguments, done)
        return done.stdout.decode()

    def sees(self, *arguments: str) -> Any:
        """The document that a command shows."""
        return json.loads(self.does(*arguments, "--json"))

    def is_refused(self, *arguments: str, status: int = 1, **env: str) -> str:
        """The one line that a command writes that must fail."""
        done = self.run(*arguments, **env)
        assert (done.returncode, done.stdout) == (status, b""), (arguments, done)
        line = done.stderr.decode()
        assert line.startswith("pillarbox: ")
        assert line.count("\n") == 1
        return line


def _peer(kind: str) -> Peer:
    if kind == "rabbitmq":
        if reason := RabbitMQ.missing():
            pytest.skip(reason)
        return RabbitMQ(plugins=("rabbitmq_management",), config=(FAST_STATISTICS,))
    return Pillarbox(options=("--memory",))


@pytest.fixture(scope="module", params=["pillarbox", "rabbitmq"])
def operator(request: pytest.FixtureRequest) -> Iterator[Operator]:
    """At a shell beside each of the two brokers."""
    with _peer(request.param) as peer:
        yield Operator(peer)


@pytest.fixture(scope="module")
def own() -> Iterator[Operator]:
    """At a shell beside Pillarbox alone."""
    with _peer("pillarbox") as peer:
        yield Operator(peer)


def names(documents: list[dict[str, Any]]) -> list[str]:
    return sorted(each["name"] for each in documents)


# Every resource ------------------------------------------------------------------------------------------


@pytest.mark.row("R128", "R111")
def test_queue_is_declared_shown_listed_and_deleted(operator: Operator) -> None:
    """R111. Names with slashes and other letters reach the broker as they are."""
    name = "a/b ü%"
    assert (
        operator.does("queues", "declare", name, "--argument", "x-max-length=7")
        == f"queue {name} is declared\n"
    )
    queue = operator.sees("queues", "show", name)
    assert (queue["durable"], queue["arguments"]) == (True, {"x-max-length": 7})
    assert f"/      {name}" in operator.does("queues", "list")
    operator.does("queues", "delete", name, "--if-unused", "--if-empty")
    assert "404" in operator.is_refused("queues", "show", name)


@pytest.mark.row("R128", "R111")
def test_queue_declared_otherwise_is_refused_in_the_brokers_words(operator: Operator) -> None:
    operator.does("queues", "declare", "kept")
    assert "inequivalent arg 'durable'" in operator.is_refused("queues", "declare", "kept", "--transient")


@pytest.mark.row("R128", "R84")
def test_super_stream_is_declared_listed_and_deleted(own: Operator) -> None:
    own.does("super-streams", "declare", "regions", "--binding-keys", "north,south")
    listed = own.sees("super-streams", "list")
    assert listed == [{"vhost": "/", "name": "regions", "partitions": ["regions-north", "regions-south"]}]
    assert "partitions or binding-keys" in own.is_refused("super-streams", "declare", "none")
    assert own.does("super-streams", "delete", "regions") == "super stream regions is deleted\n"
    assert "regions" not in own.does("queues", "list")


@pytest.mark.row("R128", "A83")
def test_destinations_are_listed_shown_and_sent_to(own: Operator) -> None:
    """A83: what `activemq dstat`, `artemis queue stat` and `producer` are called for."""
    send = ("destinations", "send", "queue", "jms/é")
    own.does(*send, "hello", "--header", "colour=red", "--priority", "7", "--type", "t", "--transient")
    own.does(*send, input=b"from a pipe")
    (first, second) = own.sees("messages", "get", "jms/é", "--count", "2")
    assert (first["payload"], second["payload"]) == ("hello", "from a pipe")
    said = first["properties"]
    assert (said["headers"], said["priority"], said["type"]) == ({"colour": "red"}, 7, "t")
    assert (said["delivery_mode"], second["properties"]["delivery_mode"]) == (1, 2)
    (shown,) = own.sees("destinations", "list", "--kind", "queue", "--filter", "jms")
    assert (shown["kind"], shown["name"], shown["pending"]) == ("queue", "jms/é", 2)
    assert own.sees("destinations", "show", "queue", "jms/é")["enqueued"] == 2
    assert "PENDING" in own.does("destinations", "list").upper()
    own.does("queues", "purge", "jms/é")
    assert "nobody takes it" in own.is_refused("destinations", "send", "topic", "nobody", "x")
    assert "404" in own.is_refused("destinations", "send", "odd", "x", "x")
    assert "no text" in own.is_refused(*send, "\udcff")
    assert own.sees("destinations", "list", "--kind", "topic") == []
    own.is_refused("destinations", "list", "--kind", "odd", status=2)


@pytest.mark.row("R128", "A83")
def test_subscribers_and_what_is_scheduled_are_listed(own: Operator) -> None:
    own.does("queues", "declare", "me.news")
    own.does("bindings", "declare", "amq.topic", "me.news", "--routing-key", "news.#")
    (shown,) = own.sees("subscribers", "list")
    assert (shown["client_id"], shown["subscription"], shown["destination"]) == ("me", "news", "news.>")
    assert "news.>" in own.does("subscribers", "list")
    (details,) = own.sees("destinations", "show", "topic", "news.>")["subscriber_details"]
    assert (details["name"], details["active"]) == ("me.news", False)
    own.does("destinations", "send", "queue", "later", "x", "--header", "AMQ_SCHEDULED_DELAY=3600000")
    (waiting,) = own.sees("scheduled", "list")
    assert (waiting["name"], waiting["waiting"]) == ("pillarbox.scheduled.queue", 1)
    assert "WAITING" in own.does("scheduled", "list").upper()
    own.does("queues", "delete", "me.news")


@pytest.mark.row("R128", "R112", "R113")
def test_exchange_and_bindings(operator: Operator) -> None:
    """R112, R113: a binding is found by its key and arguments, of several between the same two."""
    operator.does("exchanges", "declare", "logs", "--type", "topic", "--auto-delete")
    operator.does("exchanges", "declare", "more", "--type", "headers")
    operator.does("queues", "declare", "sink")
    assert operator.sees("exchanges", "show", "logs")["type"] == "topic"
    for key in ("a.#", "b.#"):
        operator.does("bindings", "declare", "logs", "sink", "--routing-key", key)
    operator.does("bindings", "declare", "logs", "more", "--to-exchange", "--argument", "x-match=all")
    operator.does("bindings", "delete", "logs", "sink", "--routing-key", "a.#")
    assert "no such binding" in operator.is_refused(
        "bindings", "delete", "logs", "sink", "--routing-key", "a.#"
    )
    keys = [each["routing_key"] for each in operator.sees("queues", "bindings", "sink") if each["source"]]
    assert keys == ["b.#"]
    ends = [each["destination"] for each in operator.sees("exchanges", "bindings", "logs")]
    assert sorted(ends) == ["more", "sink"]
    operator.does("exchanges", "delete", "more")
    operator.does("queues", "delete", "sink")


@pytest.mark.row("R128", "R111", "R112")
def test_messages_are_published_looked_at_taken_and_purged(operator: Operator) -> None:
    operator.does("queues", "declare", "letters")
    operator.does(
        "messages", "publish", "amq.default", "hello", "--routing-key", "letters", "--header", "n=1"
    )
    operator.does("messages", "publish", "amq.default", "-", "--routing-key", "letters", input=b"\xff\x00raw")
    found = operator.sees("messages", "get", "letters", "--count", "5")
    assert [each["payload_encoding"] for each in found] == ["string", "base64"]
    assert found[0]["properties"] == {"delivery_mode": 2, "headers": {"n": 1}}
    assert "hello" in operator.does("messages", "get", "letters")
    raw = operator.run("messages", "get", "letters", "--count", "5", "--remove", "--raw")
    assert raw.stdout == b"hello\xff\x00raw"
    assert operator.sees("messages", "get", "letters") == []
    operator.does("messages", "publish", "amq.default", "again", "--routing-key", "letters")
    operator.does("queues", "purge", "letters")
    assert operator.sees("messages", "get", "letters") == []


@pytest.mark.row("R128", "R112")
def test_publishing_to_no_queue_fails(operator: Operator) -> None:
    assert "no queue takes it" in operator.is_refused("messages", "publish", "amq.fanout", "lost")


@pytest.mark.row("R128")
def test_messages_are_moved(own: Operator) -> None:
    for queue in ("from", "to"):
        own.does("queues", "declare", queue)
    for number in range(3):
        own.does("messages", "publish", "amq.default", str(number), "--routing-key", "from")
    assert own.does("messages", "move", "from", "to") == "3 messages are moved\n"
    assert own.run("messages", "get", "to", "--count", "9", "--raw").stdout == b"012"
    assert "ready" in own.does("queues", "explain", "to")


@pytest.mark.row("R128", "R114")
def test_connections_are_listed_and_closed(operator: Operator) -> None:
    """R114: the client learns the reason."""
    client = pika.BlockingConnection(pika.URLParameters(operator.peer.amqp_url))
    try:
        client.channel().basic_consume(operator_queue(operator), lambda *_: None)
        client.process_data_events(0)
        name = await_connection(operator)
        assert "guest" in operator.does("connections", "show", name)
        assert len(operator.sees("channels", "list")) == 1
        operator.does("connections", "close", name, "--reason", "maintenance")
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="maintenance"):
            client.process_data_events(TIMEOUT_S)
    finally:
        if client.is_open:
            client.close()
    operator.does("connections", "close-user", "guest")


def operator_queue(operator: Operator) -> str:
    operator.does("queues", "declare", "consumed")
    return "consumed"


def await_connection(operator: Operator) -> str:
    """RabbitMQ's statistics know of it with its next report."""
    for _ in range(TIMEOUT_S * 5):
        found = [each["name"] for each in operator.sees("connections", "list") if each["name"]]
        if found and operator.sees("channels", "list"):
            return str(found[0])
    raise AssertionError("no connection is listed")


@pytest.mark.row("R128", "R115")
def test_virtual_hosts_and_their_limits(operator: Operator) -> None:
    operator.does("vhosts", "add", "shop", "--description", "orders", "--tags", "a,b")
    found = operator.sees("vhosts", "show", "shop")
    assert (found["description"], found["tags"]) == ("orders", ["a", "b"])
    assert names(operator.sees("vhosts", "list")) == ["/", "shop"]
    operator.does("vhost-limits", "set", "max-queues", "1", "--vhost", "shop")
    assert operator.sees("vhost-limits", "list", "--vhost", "shop")[0]["value"] == {"max-queues": 1}
    operator.does("vhost-limits", "delete", "max-queues", "--vhost", "shop")
    assert operator.sees("vhost-limits", "list", "--vhost", "shop") == []
    operator.does("queues", "declare", "there", "--vhost", "shop")
    assert names(operator.sees("queues", "list", "--vhost", "shop")) == ["there"]
    assert "there" in names(operator.sees("queues", "list", "--all-vhosts"))
    assert "there" not in names(operator.sees("queues", "list"))
    operator.does("vhosts", "delete", "shop")
    assert names(operator.sees("vhosts", "list")) == ["/"]


@pytest.mark.row("R115")
def test_virtual_host_is_protected(own: Operator) -> None:
    own.does("vhosts", "add", "kept")
    own.does("vhosts", "protect", "kept")
    own.is_refused("vhosts", "delete", "kept")
    own.does("vhosts", "unprotect", "kept")
    own.does("vhosts", "delete", "kept")


@pytest.mark.row("R128", "R115")
def test_users_permissions_and_limits(operator: Operator, tmp_path: Path) -> None:
    """R115. Passwords come from standard input or a file; what is not changed stays."""
    operator.does("users", "add", "worker", "--tags", "monitoring", input=b"first\n")
    assert "already" in operator.is_refused("users", "add", "worker")
    assert logs_in(operator, "worker", "first")
    secret = tmp_path / "secret"
    secret.write_text("second\nnot this\n")
    operator.does("users", "set-password", "worker", "--new-password-file", str(secret))
    assert not logs_in(operator, "worker", "first")
    assert logs_in(operator, "worker", "second")
    operator.does("users", "set-tags", "worker", "management,policymaker")
    assert operator.sees("users", "show", "worker")["tags"] == ["management", "policymaker"]
    assert logs_in(operator, "worker", "second")

    operator.does("permissions", "set", "worker", "", "^w", ".*")
    mine = [each for each in operator.sees("permissions", "list") if each["user"] == "worker"]
    assert mine == [{"user": "worker", "vhost": "/", "configure": "", "write": "^w", "read": ".*"}]
    operator.does("permissions", "delete", "worker")
    operator.does("topic-permissions", "set", "worker", "amq.topic", "^a", "^b")
    assert operator.sees("topic-permissions", "list")[0]["exchange"] == "amq.topic"
    operator.does("topic-permissions", "delete", "worker")
    operator.does("user-limits", "set", "worker", "max-connections", "3")
    assert operator.sees("user-limits", "list") == [{"user": "worker", "value": {"max-connections": 3}}]
    operator.does("user-limits", "delete", "worker", "max-connections")
    operator.does("users", "delete", "worker")
    assert names(operator.sees("users", "list")) == ["guest"]


def logs_in(operator: Operator, user: str, password: str) -> bool:
    done = operator.run("whoami", "--user", user, PILLARBOX_PASSWORD=password)
    assert done.returncode in (0, 1), done
    return done.returncode == 0


@pytest.mark.row("R128", "R115")
@pytest.mark.parametrize("resource", ["policies", "operator-policies"])
def test_policies(operator: Operator, resource: str) -> None:
    operator.does(
        resource, "set", "short", "^q", '{"message-ttl": 1000}', "--priority", "3", "--apply-to", "queues"
    )
    shown = operator.sees(resource, "show", "short")
    assert (shown["definition"], shown["priority"], shown["apply-to"]) == ({"message-ttl": 1000}, 3, "queues")
    assert names(operator.sees(resource, "list")) == ["short"]
    operator.is_refused(resource, "set", "wrong", "^q", '{"no-such-key": 1}')
    operator.does(resource, "delete", "short")
    assert operator.sees(resource, "list", "--all-vhosts") == []


@pytest.mark.row("R128", "R115")
def test_parameters(operator: Operator) -> None:
    operator.does("global-parameters", "set", "site", '{"name": "north"}')
    found = {each["name"]: each["value"] for each in operator.sees("global-parameters", "list")}
    assert found["site"] == {"name": "north"}
    operator.does("global-parameters", "delete", "site")
    operator.does("parameters", "set", "vhost-limits", "limits", '{"max-queues": 900}')
    assert operator.sees("parameters", "list")[0]["value"] == {"max-queues": 900}
    operator.does("parameters", "delete", "vhost-limits", "limits")


@pytest.mark.row("R128", "R116")
def test_definitions_are_exported_and_imported(operator: Operator, tmp_path: Path) -> None:
    """R116. The file has password hashes, so it is its owner's alone."""
    operator.does("queues", "declare", "defined")
    file = tmp_path / "definitions.json"
    operator.does("definitions", "export", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert "defined" in names(json.loads(file.read_text())["queues"])
    assert json.loads(operator.does("definitions", "export", "--only-vhost", "/"))["queues"]
    operator.does("queues", "delete", "defined")
    operator.does("definitions", "import", str(file))
    assert "defined" in names(operator.sees("queues", "list"))
    assert "no JSON" in operator.is_refused("definitions", "import", __file__)


@pytest.mark.row("R98")
def test_importer_is_told_what_was_left_out(operator: Operator, tmp_path: Path) -> None:
    """R98: it is no failure, since the rest is there. RabbitMQ leaves it out in silence."""
    operator.does("queues", "declare", "differs", "--argument", "x-max-length=3")
    file = tmp_path / "definitions.json"
    other = {"name": "differs", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
    file.write_text(json.dumps({"queues": [other, {**other, "name": "besides"}]}))
    for command in (("definitions", "import"), ("rabbitmqctl", "import_definitions")):
        done = operator.run(*command, str(file))
        assert done.returncode == 0
        if operator.peer.name == "Pillarbox":
            assert "queues[0] (differs) is left out: inequivalent arg 'x-max-length'" in done.stderr.decode()
    assert "besides" in names(operator.sees("queues", "list"))
    for name in ("differs", "besides"):
        operator.does("queues", "delete", name)


@pytest.mark.row("R128", "R110", "R117")
def test_health_and_what_runs_there(operator: Operator) -> None:
    """R110, R117: a check that fails is a line and exit code 1."""
    for check in ("alarms", "local-alarms", "vhosts", "aliveness"):
        assert operator.does("health", check) == "status  ok\n"
    operator.does("health", "port", str(operator.peer.amqp_port))
    assert "No active listener" in operator.is_refused("health", "port", "1")
    operator.does("health", "protocol", "amqp")
    operator.does("health", "certificates", "1", "days")
    (node,) = operator.sees("nodes", "list")
    assert operator.sees("nodes", "show", node["name"])["name"] == node["name"]
    operator.does("nodes", "memory", node["name"])
    operator.does("cluster-name", "set", "north")
    assert operator.sees("cluster-name", "show")["name"] == "north"
    assert operator.sees("overview")["cluster_name"] == "north"
    assert operator.sees("whoami")["name"] == "guest"
    assert json.loads(operator.does("api", "get", "/queues/%2F?columns=name"))


# Lists ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def five(own: Operator) -> Operator:
    for number in (10, 9, 2, 1, 3):
        own.does("queues", "declare", f"n{number}", "--argument", f"x-max-length={number}", "--vhost", "/")
    return own


def test_list_sorts_numbers_as_numbers_and_chooses(five: Operator) -> None:
    lines = five.does(
        "queues",
        "list",
        "--format",
        "tsv",
        "--columns",
        "name,arguments.x-max-length",
        "--sort",
        "arguments.x-max-length",
        "--reverse",
        "--filter",
        "^n",
    )
    assert lines.splitlines() == [
        "name\targuments.x-max-length",
        "n10\t10",
        "n9\t9",
        "n3\t3",
        "n2\t2",
        "n1\t1",
    ]


def test_table_aligns_and_shows_no_control_characters(own: Operator) -> None:
    """A name that would clear the terminal is shown, not obeyed."""
    own.does("exchanges", "declare", "\x1b[2Jx\ty")
    text = own.does("exchanges", "list", "--columns", "name,durable", "--filter", "2J")
    assert text.splitlines() == ["name         durable", r"\x1b[2Jx\ty  yes"]


# Who and where -------------------------------------------------------------------------------------------


def test_nobody_there_is_one_line_and_69(own: Operator) -> None:
    (port,) = free_ports(1)
    line = own.is_refused("queues", "list", "--url", f"http://{HOST}:{port}", status=69)
    assert line == f"pillarbox: http://{HOST}:{port} cannot be reached: Connection refused\n"


def test_something_else_there_is_69(own: Operator) -> None:
    own.is_refused("queues", "list", "--url", f"{HOST}:{own.peer.amqp_port}", status=69)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("queues", "declare"), "QUEUE"),
        (("queues", "declare", "q", "--argument", "x"), "NAME=VALUE"),
        (("policies", "set", "p", "^", "{"), "no JSON"),
        (("queues", "list", "--filter", "("), "regular expression"),
        (("queues", "list", "--url", "ftp://x"), "http://"),
        (("queues", "list", "--url", "http://u:secret@x:y"), "port"),
        (("queues", "list", "--user", "worker"), "PILLARBOX_PASSWORD"),
        (("queues", "list", "--password-file", "/nowhere"), "/nowhere"),
        (("queues", "nonsense"), "nonsense"),
    ],
)
def test_wrong_command_line_is_one_line_and_2(own: Operator, arguments: tuple[str, ...], words: str) -> None:
    line = own.is_refused(*arguments, status=2)
    assert words in line
    assert "secret" not in line


def test_wrong_password_is_refused(own: Operator) -> None:
    assert "401" in own.is_refused("queues", "list", PILLARBOX_PASSWORD="no")


def test_login_comes_from_the_containers_variables(own: Operator) -> None:
    """T17: inside a container the variables that made the first user are enough."""
    own.does("users", "add", "shop", "--tags", "administrator", input=b"pw\n")
    done = own.run("whoami", "--json", RABBITMQ_DEFAULT_USER="shop", RABBITMQ_DEFAULT_PASS="pw")
    assert json.loads(done.stdout)["name"] == "shop"
    url = own.env["PILLARBOX_URL"].replace("//", "//shop:pw@")
    assert json.loads(own.run("whoami", "--json", PILLARBOX_URL=url).stdout)["name"] == "shop"


def test_broker_is_found_where_it_would_be_started(own: Operator) -> None:
    done = own.run("whoami", PILLARBOX_URL="", PILLARBOX_MANAGEMENT_PORT=str(own.peer.management_port))
    assert done.returncode == 0, done


def test_password_is_asked_for_without_showing_it(own: Operator) -> None:
    own.run("users", "add", "asked", "--tags", "management", input=b"typed in\n")
    shown = at_terminal(own, b"typed in\n", "whoami", "--user", "asked")
    assert b"Password of asked:" in shown
    assert b"management" in shown
    assert b"typed in" not in shown


def at_terminal(operator: Operator, typed: bytes, *arguments: str) -> bytes:
    """All that a terminal shows in which a command is run and something typed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "pillarbox", *arguments], operator.env)
    shown = b""
    while b": " not in shown:
        shown += os.read(terminal, 4096)
    os.write(terminal, typed)
    try:
        while data := os.read(terminal, 4096):
            shown += data
    except OSError:
        pass  # Linux says so at the end.
    os.waitpid(pid, 0)
    os.close(terminal)
    return shown


# The table -----------------------------------------------------------------------------------------------


def test_every_resource_has_its_line_in_the_help() -> None:
    (section,) = [each for each in SECTIONS if each.module == "operate"]
    assert list(dict.fromkeys(section.commands)) == list(section.commands)
    assert {each.resource for each in OPERATIONS} == set(section.commands)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.words)
def test_every_operation_explains_itself_and_its_arguments(operation: Any) -> None:
    from click import Context

    from pillarbox.ops.cli.operate import OperationCommand

    command = OperationCommand(operation)
    words = " ".join(command.get_help(Context(command, terminal_width=400)).split())
    assert operation.summary in words
    for parameter in operation.parameters:
        assert parameter.help.split("  [")[0] in words


def test_shell_completes_names_that_the_broker_knows(five: Operator) -> None:
    env = {
        "_PILLARBOX_COMPLETE": "bash_complete",
        "COMP_WORDS": "pillarbox queues show n1",
        "COMP_CWORD": "3",
    }
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from pillarbox.ops.cli import main; sys.exit(main())"],
        env={**five.env, **env},
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert sorted(done.stdout.decode().split()) == ["plain,n1", "plain,n10"]
