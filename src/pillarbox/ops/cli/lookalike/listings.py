"""`list_...`: a path of the API, and the columns that the real command has.

A column is a field of the document, or a function of it where the API calls it otherwise. A column that only
RabbitMQ's inner life has (process ids of Erlang and the like) stays empty, rather than unknown to scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pillarbox.ops.api_client import ApiError
from pillarbox.ops.cli.lookalike.arguments import EXIT_DATA, EXIT_UNAVAILABLE, ToolError, UsageError
from pillarbox.ops.cli.lookalike.formatting import Arguments, Table, compact
from pillarbox.ops.cli.lookalike.run import Command, Run
from pillarbox.ops.cli.printing import look_up

Document = Mapping[str, Any]
Column = Callable[[Document], Any]


def _field(name: str) -> Column:
    return lambda document: look_up(document, name)


def _arguments(document: Document) -> Any:
    return Arguments(document.get("arguments") or {})


def _json(name: str) -> Column:
    """What the API has as a document and the real command as the text of one."""
    return lambda document: compact(document[name])


def _kind(document: Document) -> str:
    return "exchange"


def _columns(names: str, **functions: Column) -> Mapping[str, Column]:
    return {name: functions.get(name) or _field(name) for name in names.split()}


QUEUE = _columns(
    "name durable auto_delete arguments policy operator_policy effective_policy_definition pid owner_pid "
    "exclusive exclusive_consumer_pid exclusive_consumer_tag messages_ready messages_unacknowledged messages "
    "messages_ready_ram messages_unacknowledged_ram messages_ram messages_persistent message_bytes "
    "message_bytes_ready message_bytes_unacknowledged message_bytes_ram message_bytes_persistent "
    "head_message_timestamp disk_reads disk_writes consumers consumer_utilisation consumer_capacity memory "
    "slave_pids synchronised_slave_pids state type leader members online vhost node",
    arguments=_arguments,
    pid=_field("node"),
    leader=_field("node"),
    effective_policy_definition=lambda queue: Arguments(queue.get("effective_policy_definition") or {}),
    exclusive_consumer_tag=_field("single_active_consumer_tag"),
)
EXCHANGE = _columns("name type durable auto_delete internal arguments policy vhost", arguments=_arguments)
BINDING = _columns(
    "source_name source_kind destination_name destination_kind routing_key arguments vhost",
    source_name=_field("source"),
    source_kind=_kind,
    destination_name=_field("destination"),
    destination_kind=_field("destination_type"),
    arguments=_arguments,
)
_PROTOCOLS = {"AMQP 0-9-1": [0, 9, 1], "AMQP 0-8": [0, 8, 0], "AMQP 1-0": [1, 0, 0]}
CONNECTION = _columns(
    "pid name port host peer_port peer_host ssl ssl_protocol ssl_key_exchange ssl_cipher ssl_hash "
    "peer_cert_subject peer_cert_issuer peer_cert_validity state channels protocol auth_mechanism user vhost "
    "timeout frame_max channel_max client_properties recv_oct recv_cnt send_oct send_cnt send_pend "
    "connected_at node",
    pid=_field("name"),
    protocol=lambda each: _PROTOCOLS.get(each.get("protocol", ""), each.get("protocol")),
    client_properties=lambda each: Arguments(each.get("client_properties") or {}),
)
CHANNEL = _columns(
    "pid connection name number user vhost transactional confirm consumer_count messages_unacknowledged "
    "messages_uncommitted acks_uncommitted messages_unconfirmed prefetch_count global_prefetch_count state "
    "node",
    pid=_field("name"),
    connection=_field("connection_details.name"),
)
CONSUMER = _columns(
    "queue_name channel_pid consumer_tag ack_required prefetch_count active activity_status arguments "
    "exclusive",
    queue_name=_field("queue.name"),
    channel_pid=_field("channel_details.name"),
    arguments=_arguments,
)
USER = _columns("user tags", user=_field("name"))
VHOST = _columns("name tracing description tags default_queue_type cluster_state")
PERMISSION = _columns("user configure write read")
TOPIC_PERMISSION = _columns("user exchange write read")
POLICY = _columns("vhost name pattern apply-to definition priority", definition=_json("definition"))
PARAMETER = _columns("component name value", value=_json("value"))
GLOBAL_PARAMETER = _columns("name value", value=_json("value"))
FEATURE_FLAG = _columns("name state stability provided_by desc doc_url")


def _listed(path: str, columns: Mapping[str, Column], default: str = "", streamed: bool = True) -> Any:
    """A command that shows what the API lists at a path. Without `default`, all columns."""
    shown = default.split() or list(columns)

    def do(run: Run) -> Table:
        wanted = _wanted(run, columns) or shown
        rows = [{name: columns[name](document) for name in wanted} for document in _documents(run, path)]
        return Table(wanted, rows, streamed)

    return do


def _wanted(run: Run, columns: Mapping[str, Column]) -> list[str]:
    """The columns that were asked for. Raises UsageError."""
    wanted = list(dict.fromkeys(name for word in run.rest for name in word.split(",") if name))
    unknown = [name for name in wanted if name not in columns]
    if unknown:
        raise UsageError(f"Info key(s) {', '.join(unknown)} are not supported")
    return wanted


def _documents(run: Run, path: str) -> Sequence[Document]:
    """What is there; a virtual host that is not has nothing in it."""
    try:
        found: Sequence[Document] = run.get(path)
    except ApiError as error:
        if error.status != 404:
            raise
        return []
    return found


def _vhost(run: Run) -> None:
    if not run.exists("/vhosts/{vhost}"):
        raise ToolError(EXIT_DATA, f"Virtual host '{run.words['vhost']}' does not exist")


def _user(run: Run) -> None:
    name = run.words.get("username") or run.options.get("user")
    if name and not run.exists("/users/{name}", name=name):
        raise ToolError(EXIT_UNAVAILABLE, f'Error:\n{{:no_such_user, "{name}"}}')


def _limits(run: Run, owner: str, path: str, whose: str | None) -> Table | str:
    """All, as a table; or those of one, as a document."""
    if whose is None:
        columns = {owner: _field(owner), "limits": _json("value")}
        rows = [{name: of(each) for name, of in columns.items()} for each in run.get(path)]
        return Table(list(columns), rows, streamed=False)
    found = run.get(f"{path}/{{whose}}", whose=whose)
    return (compact(found[0]["value"]) if found else "") + "\n"


def _vhost_limits(run: Run) -> Table | str:
    return _limits(run, "vhost", "/vhost-limits", None if "global" in run.options else run.words["vhost"])


def _user_limits(run: Run) -> Table | str:
    return _limits(run, "user", "/user-limits", run.options.get("user"))


def _listing(name: str, banner: str, path: str, columns: Mapping[str, Column], **more: Any) -> Command:
    """A row for a listing; columns may be chosen unless it has none to choose from."""
    chosen = more.pop("usage", "[<column>...]")
    checks = more.pop("checks", ())
    flags = more.pop("flags", {})
    do = _listed(path, columns, **more)
    return Command(name, chosen, banner, do, checks, {}, flags, lambda run: _wanted(run, columns))


_ONLY = {"--online": "online", "--offline": "offline", "--local": "local"}

QUEUES = (
    _listing("list_queues", "Timeout: {timeout} seconds ...\nListing queues for vhost {vhost} ...",
             "/queues/{vhost}", QUEUE, default="name messages", flags=_ONLY),
)  # fmt: skip
COMMANDS = (
    *QUEUES,
    _listing("list_exchanges", "Listing exchanges for vhost {vhost} ...", "/exchanges/{vhost}", EXCHANGE,
             default="name type"),
    _listing("list_bindings", "Listing bindings for vhost {vhost}...", "/bindings/{vhost}", BINDING,
             default="source_name source_kind destination_name destination_kind routing_key arguments"),
    _listing("list_connections", "Listing connections ...", "/connections", CONNECTION,
             default="user peer_host peer_port state"),
    _listing("list_channels", "Listing channels ...", "/channels", CHANNEL,
             default="pid user consumer_count messages_unacknowledged"),
    _listing("list_consumers", "Listing consumers in vhost {vhost} ...", "/consumers/{vhost}", CONSUMER,
             default="queue_name channel_pid consumer_tag ack_required prefetch_count active arguments"),
    _listing("list_users", "Listing users ...", "/users", USER, usage=""),
    _listing("list_vhosts", "Listing vhosts ...", "/vhosts", VHOST, default="name"),
    _listing("list_permissions", 'Listing permissions for vhost "{vhost}" ...', "/vhosts/{vhost}/permissions",
             PERMISSION, usage="", streamed=False, checks=(_vhost,)),
    _listing("list_user_permissions", 'Listing permissions for user "{username}" ...',
             "/users/{username}/permissions", _columns("vhost configure write read"), usage="<username>",
             streamed=False, checks=(_user,)),
    _listing("list_topic_permissions", 'Listing topic permissions for vhost "{vhost}" ...',
             "/vhosts/{vhost}/topic-permissions", TOPIC_PERMISSION, usage="", streamed=False,
             checks=(_vhost,)),
    _listing("list_user_topic_permissions", 'Listing topic permissions for user "{username}" ...',
             "/users/{username}/topic-permissions", _columns("vhost exchange write read"), usage="<username>",
             streamed=False, checks=(_user,)),
    _listing("list_policies", 'Listing policies for vhost "{vhost}" ...', "/policies/{vhost}", POLICY,
             usage="", streamed=False, checks=(_vhost,)),
    _listing("list_operator_policies", 'Listing operator policy overrides for vhost "{vhost}" ...',
             "/operator-policies/{vhost}", POLICY, usage="", streamed=False, checks=(_vhost,)),
    _listing("list_global_parameters", "Listing global runtime parameters ...", "/global-parameters",
             GLOBAL_PARAMETER, usage="", streamed=False),
    _listing("list_feature_flags", "Listing feature flags ...", "/feature-flags", FEATURE_FLAG,
             default="name state"),
    Command("list_parameters", "", 'Listing runtime parameters for vhost "{vhost}" ...',
            lambda run: Table(list(PARAMETER), [
                {name: of(each) for name, of in PARAMETER.items()}
                for each in run.get("/parameters") if each["vhost"] == run.words["vhost"]
            ], streamed=False), (_vhost,)),
    Command("list_vhost_limits", "", "Listing limits for {whose_vhost} ...", _vhost_limits,
            flags={"--global": "global"}),
    Command("list_user_limits", "", "Listing limits for {whose_user} ...", _user_limits, (_user,),
            {"--user": "user"}, {"--global": "global"}),
)  # fmt: skip
