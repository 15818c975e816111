"""Checks and states of the node: what health checks, probes and people ask first.

`ping`, `check_running` and the like need no account: that the API answers at all says it.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pillarbox.clock import monotonic_ns
from pillarbox.endpoints import in_url
from pillarbox.ops.api_client import ApiError, Unreachable
from pillarbox.ops.cli.lookalike.arguments import (
    EXIT_DATA,
    EXIT_TEMPORARY,
    EXIT_UNAVAILABLE,
    ToolError,
    UsageError,
)
from pillarbox.ops.cli.lookalike.formatting import Message
from pillarbox.ops.cli.lookalike.run import Command, Run

PURPOSES = {
    "amqp": "AMQP 0-9-1 and AMQP 1.0",
    "amqp/ssl": "AMQP 0-9-1 and AMQP 1.0 over TLS",
    "http": "HTTP API",
    "https": "HTTP API over TLS (HTTPS)",
    "http/prometheus": "Prometheus exporter API over HTTP",
    "clustering": "inter-node and CLI tool communication",
    "mqtt": "MQTT",
    "mqtt/ssl": "MQTT over TLS",
    "stomp": "STOMP",
    "stomp/ssl": "STOMP over TLS",
    "stream": "stream",
    "stream/ssl": "stream over TLS",
}
ALIASES = {
    "amqps": "amqp/ssl",
    "amqp091": "amqp",
    "amqp10": "amqp",
    "management": "http",
    "mqtts": "mqtt/ssl",
}
"""Other names of protocols that the real one knows."""

POLL_S = 0.2
"""Between two looks at a broker that has not started."""
AWAIT_STARTUP_S = 300.0
WAIT_S = 10.0
"""How long the real ones wait, unless told."""
CONNECT_S = 10.0

_GB = 1_000_000_000
_UNITS = {"bytes": 1, "kb": 1_000, "mb": 1_000_000, "gb": _GB}
OK: Mapping[str, Any] = {"result": "ok"}


def _alive(run: Run) -> None:
    """Ask for what nobody has to log in for."""
    try:
        run.api.get("/auth")
    except ApiError as error:
        if error.status >= 500:
            raise


def ping(run: Run) -> Message:
    _alive(run)
    return Message("Ping succeeded")


def running(run: Run) -> Message:
    _alive(run)
    return Message(f"RabbitMQ on node {run.node} is fully booted and running")


def is_running(run: Run) -> Message:
    answer = running(run)
    return answer._replace(document={"message": answer.text, "result": True})


def is_booting(run: Run) -> Message:
    _alive(run)
    text = "is fully booted (check with is_running), stopped or has not started booting yet"
    return Message(f"RabbitMQ on node {run.node} {text}", {"result": False})


def version(run: Run) -> str:
    return f"{run.overview['rabbitmq_version']}\n"


def server_version(run: Run) -> Message:
    found = run.overview["rabbitmq_version"]
    return Message(found, {**OK, "value": found})


def _check(path: str, said: str) -> Callable[[Run], Message]:
    """A check of the API: `said` if all is well, the API's reason if not."""

    def do(run: Run) -> Message:
        try:
            run.get(path)
        except ApiError as error:
            if error.status != 503:
                raise
            raise ToolError(EXIT_UNAVAILABLE, f"Error:\nNode {run.node}: {error.reason}") from None
        return Message(said.format(node=run.node), OK)

    return do


def node_health_check(run: Run) -> str:
    _check("/healthchecks/node", "")(run)
    return "Health check passed\n"


# --- listeners -------------------------------------------------------------------------------------------


def listeners_of(run: Run) -> list[dict[str, Any]]:
    """As RabbitMQ's tools show them."""
    found = []
    for each in run.overview["listeners"]:
        address = each["ip_address"]
        found.append(
            {
                "interface": in_url(address),
                "node": each["node"],
                "port": each["port"],
                "protocol": each["protocol"],
                "purpose": PURPOSES.get(each["protocol"], each["protocol"]),
            }
        )
    return found


def _line(listener: Mapping[str, Any]) -> str:
    return "Interface: {interface}, port: {port}, protocol: {protocol}, purpose: {purpose}".format_map(
        listener
    )


def listeners(run: Run) -> Message:
    found = listeners_of(run)
    return Message("\n".join(map(_line, found)), {"listeners": found, "node": run.node, **OK})


def port_connectivity(run: Run) -> Message:
    """Connect from here to all that listens there, wherever it does."""
    here = urlsplit(run.api.address).hostname or ""
    found = listeners_of(run)
    deaf = [each for each in found if not _connects(each, here)]
    if deaf:
        head = f"Connection to ports of the following listeners on node {run.node} failed: "
        raise ToolError(EXIT_UNAVAILABLE, "\n".join(["Error:", head, *map(_line, deaf)]))
    ports = ", ".join(str(port) for port in sorted({each["port"] for each in found}))
    text = f"Successfully connected to ports {ports} on node {run.node}."
    return Message(text, {"listeners": found, "node": run.node, **OK})


def _connects(listener: Mapping[str, Any], otherwise: str) -> bool:
    host = listener["interface"].strip("[]")
    host = otherwise if host in ("::", "0.0.0.0", "") else host
    try:
        socket.create_connection((host, listener["port"]), CONNECT_S).close()
    except OSError:
        return False
    return True


def _port(run: Run) -> None:
    if not run.words["port"].isdigit():
        raise UsageError("Bad argument: Argument must be a positive integer", EXIT_DATA)


def port_listener(run: Run) -> Message:
    port = int(run.words["port"])
    ports = sorted({each["port"] for each in listeners_of(run)})
    if port not in ports:
        known = ", ".join(map(str, ports))
        raise ToolError(
            EXIT_UNAVAILABLE,
            f"No listener for port {port} is active on node {run.node}. "
            f"Found listeners that use the following ports: {known}",
        )
    return Message(f"A listener for port {port} is running on node {run.node}.", {"port": port, **OK})


def protocol_listener(run: Run) -> Message:
    asked = run.words["protocol"]
    wanted = ALIASES.get(asked.lower(), asked.lower())
    protocols = sorted({each["protocol"] for each in listeners_of(run)})
    if wanted not in protocols:
        raise ToolError(
            EXIT_UNAVAILABLE,
            f"Error:\nNo listener for protocol {asked} is active on node {run.node}. "
            f"Found listeners for the following protocols: {', '.join(protocols)}",
        )
    text = f"A listener for protocol {asked} is running on node {run.node}."
    return Message(text, {"node": run.node, "protocol": asked, **OK})


def certificates(run: Run) -> Message:
    within, unit = run.options.get("within", "4"), run.options.get("unit", "weeks")
    said = (
        f"No certificates are expiring within {within} {unit if within != '1' else unit.removesuffix('s')}."
    )
    run.words |= {"within": within, "unit": unit}
    return _check("/health/checks/certificate-expiration/{within}/{unit}", said)(run)


# --- waiting ---------------------------------------------------------------------------------------------


def _seconds(run: Run, otherwise: float) -> float:
    try:
        return float(run.options.get("timeout") or otherwise)
    except ValueError:
        raise UsageError(f"--timeout {run.options['timeout']} is no number", EXIT_DATA) from None


def _await(holds: Callable[[], bool], seconds: float, name: str, run: Run) -> None:
    deadline_ns = monotonic_ns() + int(seconds * 1e9)
    while not holds():
        if monotonic_ns() >= deadline_ns:
            node = run.options.get("node") or "at " + run.api.address
            text = f"operation {name} on node {node} timed out. Timeout value used: {int(seconds * 1000)}"
            raise ToolError(EXIT_TEMPORARY, f"Error: {text}")
        select.select([], [], [], POLL_S)


def _answers(run: Run) -> bool:
    try:
        _alive(run)
    except (Unreachable, ApiError):
        return False
    return True


def await_startup(run: Run) -> None:
    _await(lambda: _answers(run), _seconds(run, AWAIT_STARTUP_S), "await_startup", run)


def wait(run: Run) -> str:
    """Wait until the broker of a process answers, that a file or an option names; no longer than it lives."""
    file, pid, seconds = run.words["pidfile"], run.options.get("pid"), _seconds(run, WAIT_S)
    if not file and not pid:
        raise UsageError('"No pid or pidfile specified"')
    if file:
        _await(lambda: os.path.exists(file), seconds, "wait", run)
        pid = Path(file).read_text(encoding="ascii", errors="replace").strip()
    if not str(pid).isdigit():
        raise ToolError(EXIT_DATA, f"Error:\n{pid} is no process id")

    def started() -> bool:
        try:
            os.kill(int(str(pid)), 0)
        except ProcessLookupError:
            raise ToolError(EXIT_UNAVAILABLE, f"Error:\nprocess_not_running: {pid}") from None
        except PermissionError:
            pass  # It is somebody else's, so it is there.
        return _answers(run)

    _await(started, seconds, "wait", run)
    return "" if run.is_quiet else f"Applications 'rabbit_and_plugins' are running on node '{run.node}'\n"


# --- states ----------------------------------------------------------------------------------------------


def _alarms(run: Run) -> list[str]:
    node = run.node_state
    found = {"memory": node.get("mem_alarm"), "disk": node.get("disk_free_alarm")}
    return [f"{name} alarm on node {run.node}" for name, on in found.items() if on]


def _memory(run: Run) -> dict[str, int]:
    try:
        found = run.get("/nodes/{node}/memory", node=run.node).get("memory")
    except ApiError:
        return {}
    return found if isinstance(found, dict) else {}


def status(run: Run) -> Message:
    overview, node = run.overview, run.node_state
    totals = overview.get("object_totals", {})
    document = {
        "rabbitmq_version": overview["rabbitmq_version"],
        "product_name": overview.get("product_name", ""),
        "product_version": overview.get("product_version", ""),
        "erlang_version": overview.get("erlang_full_version", ""),
        "pid": int(node.get("os_pid") or 0),
        "uptime": node.get("uptime", 0) // 1000,
        "is_under_maintenance": False,
        "active_plugins": node.get("enabled_plugins", []),
        "data_directory": node.get("db_dir", ""),
        "config_files": node.get("config_files", []),
        "log_files": node.get("log_files", []),
        "alarms": _alarms(run),
        "memory": _memory(run),
        "vm_memory_high_watermark_limit": node.get("mem_limit", 0),
        "file_descriptors": {
            "total_used": node.get("fd_used", 0),
            "total_limit": node.get("fd_total", 0),
            "sockets_used": node.get("sockets_used", 0),
            "sockets_limit": node.get("sockets_total", 0),
        },
        "disk_free": node.get("disk_free", 0),
        "disk_free_limit": node.get("disk_free_limit", 0),
        "totals": {
            "connection_count": totals.get("connections", 0),
            "queue_count": totals.get("queues", 0),
            "virtual_host_count": len(run.get("/vhosts")),
        },
        "listeners": listeners_of(run),
    }
    return Message("\n".join(_status_lines(document, node, run.node)).rstrip("\n"), document)


def _status_lines(document: Mapping[str, Any], node: Mapping[str, Any], name: str) -> Iterator[str]:
    files, totals = document["file_descriptors"], document["totals"]
    yield from _section(
        "Runtime",
        f"OS PID: {document['pid']}",
        f"Uptime (seconds): {document['uptime']}",
        "Is under maintenance?: false",
        f"RabbitMQ version: {document['rabbitmq_version']}",
        f"Node name: {name}",
        f"Erlang configuration: {document['erlang_version']}",
    )
    yield from _section(
        "Plugins", "Enabled plugins:", "", *(f" * {one}" for one in document["active_plugins"])
    )
    yield from _section("Data directory", f"Node data directory: {document['data_directory']}")
    yield from _section("Config files", *(f" * {one}" for one in document["config_files"]))
    yield from _section("Log file(s)", *(f" * {one}" for one in document["log_files"]))
    yield from _section("Alarms", *(document["alarms"] or ["(none)"]))
    yield from _section(
        "Memory",
        f"Total memory used: {round(node.get('mem_used', 0) / _GB, 4)} gb",
        f"Memory high watermark computed to: {round(node.get('mem_limit', 0) / _GB, 4)} gb",
    )
    yield from _section(
        "File Descriptors",
        f"Total: {files['total_used']}, limit: {files['total_limit']}",
        f"Sockets: {files['sockets_used']}, limit: {files['sockets_limit']}",
    )
    yield from _section(
        "Free Disk Space",
        f"Low free disk space watermark: {round(document['disk_free_limit'] / _GB, 4)} gb",
        f"Free disk space: {round(document['disk_free'] / _GB, 4)} gb",
    )
    yield from _section(
        "Totals",
        f"Connection count: {totals['connection_count']}",
        f"Queue count: {totals['queue_count']}",
        f"Virtual host count: {totals['virtual_host_count']}",
    )
    yield from _section("Listeners", *map(_line, document["listeners"]))


def _section(title: str, *lines: str) -> Sequence[str]:
    return (f"\x1b[1m{title}\x1b[0m", "", *lines, "")


def cluster_status(run: Run) -> Message:
    names = [each["name"] for each in run.get("/nodes")]
    release = run.overview
    document = {
        "cluster_name": release["cluster_name"],
        "disk_nodes": names,
        "ram_nodes": [],
        "running_nodes": names,
        "versions": {
            name: {
                "rabbitmq_name": release.get("product_name", ""),
                "rabbitmq_version": release["rabbitmq_version"],
                "erlang_version": release["erlang_version"],
            }
            for name in names
        },
        "alarms": _alarms(run),
        "partitions": {},
        "maintenance_status": dict.fromkeys(names, "not under maintenance"),
        "listeners": {run.node: listeners_of(run)},
        "feature_flags": [],
    }
    shown = [
        *_section("Basics", f"Cluster name: {release['cluster_name']}"),
        *_section("Disk Nodes", *names),
        *_section("Running Nodes", *names),
        *_section("Versions", *(f"{name}: RabbitMQ {release['rabbitmq_version']}" for name in names)),
        *_section("Maintenance status", *(f"Node: {name}, status: not under maintenance" for name in names)),
        *_section("Alarms", *(_alarms(run) or ["(none)"])),
        *_section("Network Partitions", "(none)"),
        *_section("Listeners", *(f"Node: {run.node}, {_lowered(each)}" for each in listeners_of(run))),
    ]
    return Message("\n".join(shown).rstrip("\n"), document)


def _lowered(listener: Mapping[str, Any]) -> str:
    return _line(listener).replace("Interface", "interface", 1)


def alarms(run: Run) -> Message:
    found = _alarms(run)
    if not found:
        text = f"Node {run.node} reported no alarms, local or clusterwide"
        return Message(text, {**OK, "global": [], "local": [], "message": text})
    return Message("\n".join(found), {**OK, "global": found, "local": found})


def memory_breakdown(run: Run) -> Message:
    unit = run.options.get("unit", "gb").lower()
    if unit not in _UNITS:
        raise UsageError(f"Bad argument: unit '{unit}' is not one of {', '.join(_UNITS)}", EXIT_DATA)
    parts = {name: size for name, size in _memory(run).items() if isinstance(size, int)}
    total = sum(parts.values()) or 1
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    lines = [
        f"{name}: {round(size / _UNITS[unit], 4)} {unit} ({round(100 * size / total, 2)}%)"
        for name, size in ordered
    ]
    document = {name: {"bytes": size, "percentage": round(100 * size / total, 2)} for name, size in ordered}
    return Message("\n".join(lines), document)


_SINGLE = "Node {node} seems to be the only one in a single node cluster, the check does not apply"
_QUORUM = Command(
    "check_if_node_is_quorum_critical",
    "",
    "Checking if node {node} is critical for quorum of any quorum queues ...",
    _check("/health/checks/node-is-quorum-critical", _SINGLE),
)
_MIRRORS = Command(
    "check_if_node_is_mirror_sync_critical",
    "",
    "Checking if node {node} is critical for data safety of any classic mirrored queues ...",
    _check("/health/checks/node-is-mirror-sync-critical", _SINGLE),
)

NODE = (
    Command("ping", "",
            "Will ping {node}. This only checks if the OS process is running and registered with epmd. "
            "Timeout: 60000 ms.", ping, needs_account=False),
    Command("status", "", "Status of node {node} ...", status),
    Command("cluster_status", "", "Cluster status of node {node} ...", cluster_status),
    Command("await_startup", "", "", await_startup, needs_account=False),
    Command("wait", "[<pidfile>]", "", wait, valued={"--pid": "pid", "-P": "pid"},
            needs_account=False),
    Command("node_health_check", "", "Timeout: 70 seconds ...\nChecking health of node {node} ...",
            node_health_check),
)  # fmt: skip
CRITICAL = (_QUORUM, _MIRRORS)
CHECKS = (
    *CRITICAL,
    Command("check_running", "", "Checking if RabbitMQ is running on node {node} ...", running,
            needs_account=False),
    Command("is_running", "", "Asking node {node} for its status ...", is_running, needs_account=False),
    Command("is_booting", "", "Asking node {node} for its boot status ...", is_booting,
            needs_account=False),
    Command("check_local_alarms", "", "Asking node {node} to report any local resource alarms ...",
            _check("/health/checks/local-alarms", "Node {node} reported no local alarms")),
    Command("check_alarms", "", "Asking node {node} to report any local resource alarms ...",
            _check("/health/checks/alarms", "Node {node} reported no alarms, local or clusterwide")),
    Command("alarms", "", "Asking node {node} to report any known resource alarms ...", alarms),
    Command("check_virtual_hosts", "", "Checking if all vhosts are running on node {node} ...",
            _check("/health/checks/virtual-hosts", "Node {node} reported all vhosts as running")),
    Command("check_port_connectivity", "",
            "Testing TCP connections to all active listeners on node {node} ...",
            port_connectivity),
    Command("check_port_listener", "<port>",
            "Asking node {node} if there's an active listener on port {port} ...", port_listener,
            validate=_port),
    Command("check_protocol_listener", "<protocol>",
            "Asking node {node} if there's an active listener for protocol {protocol} ...",
            protocol_listener),
    Command("check_certificate_expiration", "", "Checking certificate expiration on node {node} ...",
            certificates, valued={"--within": "within", "--unit": "unit"}),
    Command("listeners", "", "Asking node {node} to report its protocol listeners ...", listeners),
    Command("server_version", "", "Asking node {node} for its RabbitMQ version...", server_version),
    Command("memory_breakdown", "", "Reporting memory breakdown on node {node}...", memory_breakdown,
            valued={"--unit": "unit"}),
)  # fmt: skip
