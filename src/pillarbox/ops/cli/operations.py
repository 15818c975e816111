"""The table of operations: one row for each verb of each resource of the management API.

`operate` makes the commands of it, `scripts/docs.py` the manual, and tests see to it that every row works. To
add one: a row here (Kafka's are in `kafka_operations`, those in ActiveMQ's words in `messaging_operations`);
a new resource also has a line in `pillarbox.ops.cli.SECTIONS`.
"""

from __future__ import annotations

from pillarbox.ops.cli import steps
from pillarbox.ops.cli.kafka_operations import KAFKA
from pillarbox.ops.cli.messaging_operations import MESSAGING
from pillarbox.ops.cli.operation import (
    Kind,
    Operation,
    Parameter,
    Where,
    argument,
    flag,
    option,
    query_flag,
    step_argument,
    step_option,
)

_ARGUMENTS = option(
    "argument", "An argument of it, such as x-max-length=1000. May be repeated.", "arguments", Kind.PAIRS
)
_IF_UNUSED = query_flag("if-unused", "Only if nobody uses it.")
_IF_EMPTY = query_flag("if-empty", "Only if no message is in it.")
_TO_EXCHANGE = step_option("to-exchange", "The destination is an exchange, not a queue.", Kind.FLAG)
_BINDING = "source destination_type destination routing_key arguments"

_QUEUE = "/queues/{vhost}/{queue}"
_EXCHANGE = "/exchanges/{vhost}/{exchange}"

QUEUES = (
    Operation(
        "queues",
        "list",
        "List the queues.",
        "GET",
        "/queues/{vhost}",
        columns="vhost name type state messages_ready=ready messages_unacknowledged=unacked messages "
        "consumers message_stats.publish_details.rate=in/s message_stats.deliver_get_details.rate=out/s",
        path_of_all="/queues",
    ),
    Operation("queues", "show", "Show all that is known of a queue.", "GET", _QUEUE),
    Operation(
        "queues",
        "declare",
        "Declare a queue, durable unless told otherwise.",
        "PUT",
        _QUEUE,
        (
            option(
                "type",
                "What kind of queue.",
                "arguments.x-queue-type",
                choices=("classic", "quorum", "stream"),
            ),
            flag("transient", "A restart of the broker ends it.", "durable", False),
            flag("auto-delete", "It is deleted with its last consumer.", "auto_delete"),
            _ARGUMENTS,
        ),
        body={"durable": True, "auto_delete": False, "arguments": {}},
        done="queue {queue} is declared",
    ),
    Operation(
        "queues",
        "delete",
        "Delete a queue and the messages in it.",
        "DELETE",
        _QUEUE,
        (_IF_UNUSED, _IF_EMPTY),
        done="queue {queue} is deleted",
    ),
    Operation(
        "queues",
        "purge",
        "Remove all ready messages of a queue.",
        "DELETE",
        f"{_QUEUE}/contents",
        done="queue {queue} is purged",
    ),
    Operation(
        "queues", "bindings", "List the bindings of a queue.", "GET", f"{_QUEUE}/bindings", columns=_BINDING
    ),
    Operation(
        "queues",
        "explain",
        "Say why a queue is as it is, and what it waits for.",
        "GET",
        f"{_QUEUE}/explain",
        step=steps.explain,
        details="Only Pillarbox knows that; a RabbitMQ answers 404.",
    ),
)

_SUPER_STREAM = "/stream/super-streams/{vhost}/{name}"

SUPER_STREAMS = (
    Operation(
        "super-streams",
        "list",
        "List the super streams.",
        "GET",
        "/stream/super-streams/{vhost}",
        columns="vhost name partitions",
        path_of_all="/stream/super-streams",
    ),
    Operation(
        "super-streams",
        "declare",
        "Make an exchange and the streams that are its partitions.",
        "PUT",
        _SUPER_STREAM,
        (
            option("partitions", "So many, with the keys 0, 1 and so on.", kind=Kind.INTEGER),
            option("binding-keys", "One for each of these keys, with commas between them.", "binding-keys"),
            _ARGUMENTS._replace(help="An argument of each stream, such as x-max-age=7D. May be repeated."),
        ),
        done="super stream {name} is declared",
        details="Either --partitions or --binding-keys is needed.",
    ),
    Operation(
        "super-streams",
        "delete",
        "Delete a super stream, its partitions and the messages in them.",
        "DELETE",
        _SUPER_STREAM,
        done="super stream {name} is deleted",
        details="Only Pillarbox offers this over HTTP; a RabbitMQ answers 405.",
    ),
)

EXCHANGES = (
    Operation(
        "exchanges",
        "list",
        "List the exchanges.",
        "GET",
        "/exchanges/{vhost}",
        columns="vhost name type durable auto_delete internal arguments "
        "message_stats.publish_in_details.rate=in/s message_stats.publish_out_details.rate=out/s",
        path_of_all="/exchanges",
    ),
    Operation("exchanges", "show", "Show all that is known of an exchange.", "GET", _EXCHANGE),
    Operation(
        "exchanges",
        "declare",
        "Declare an exchange, durable unless told otherwise.",
        "PUT",
        _EXCHANGE,
        (
            option("type", "How it routes: direct, fanout, topic, headers or another.  [default: direct]"),
            flag("transient", "A restart of the broker ends it.", "durable", False),
            flag("auto-delete", "It is deleted with its last binding.", "auto_delete"),
            flag("internal", "Only other exchanges may publish to it.", "internal"),
            _ARGUMENTS,
        ),
        body={"type": "direct", "durable": True, "auto_delete": False, "internal": False, "arguments": {}},
        done="exchange {exchange} is declared",
    ),
    Operation(
        "exchanges",
        "delete",
        "Delete an exchange.",
        "DELETE",
        _EXCHANGE,
        (_IF_UNUSED,),
        done="exchange {exchange} is deleted",
    ),
    Operation(
        "exchanges",
        "bindings",
        "List what is bound to an exchange.",
        "GET",
        f"{_EXCHANGE}/bindings/source",
        columns=_BINDING,
    ),
)

BINDINGS = (
    Operation(
        "bindings",
        "list",
        "List the bindings.",
        "GET",
        "/bindings/{vhost}",
        columns=f"vhost {_BINDING}",
        path_of_all="/bindings",
    ),
    Operation(
        "bindings",
        "declare",
        "Bind a queue or an exchange to an exchange.",
        "POST",
        "/bindings/{vhost}/e/{source}/q/{destination}",
        (option("routing-key", "The routing key or pattern.  [default: none]"), _ARGUMENTS, _TO_EXCHANGE),
        body={"routing_key": "", "arguments": {}},
        step=steps.bind,
        done="{destination} is bound to {source}",
    ),
    Operation(
        "bindings",
        "delete",
        "Remove the binding with this routing key and these arguments.",
        "DELETE",
        "/bindings/{vhost}/e/{source}/q/{destination}",
        (option("routing-key", "The routing key or pattern.  [default: none]"), _ARGUMENTS, _TO_EXCHANGE),
        body={"routing_key": "", "arguments": {}},
        step=steps.unbind,
        done="{destination} is no longer bound to {source} so",
    ),
)

MESSAGES = (
    Operation(
        "messages",
        "publish",
        "Publish a message.",
        "POST",
        f"{_EXCHANGE}/publish",
        (
            step_argument("payload", "The body; without it, or with -, standard input.", is_optional=True),
            option("routing-key", "The routing key.  [default: none]"),
            option("property", "A property, such as priority=3. May be repeated.", "properties", Kind.PAIRS),
            option("header", "A header. May be repeated.", "properties.headers", Kind.PAIRS),
            flag("transient", "A restart of the broker may lose it.", "properties.delivery_mode", 1),
        ),
        body={"routing_key": "", "properties": {"delivery_mode": 2}},
        step=steps.publish,
        details="The exchange is amq.default for the default one, which routes to the queue that the routing "
        "key names. Exit code 1 if no queue takes the message.",
    ),
    Operation(
        "messages",
        "get",
        "Show messages at the head of a queue. They stay there, marked redelivered, unless told otherwise.",
        "POST",
        f"{_QUEUE}/get",
        (
            option("count", "So many at most.  [default: 1]", kind=Kind.INTEGER),
            flag("remove", "Take them out of the queue for good.", "ackmode", "ack_requeue_false"),
            flag("reject", "Take them out and dead-letter them.", "ackmode", "reject_requeue_false"),
            option("truncate", "Show so many bytes of each body at most.", kind=Kind.INTEGER),
            step_option("raw", "Write the bodies alone, as they are, one after the other.", Kind.FLAG),
        ),
        columns="exchange routing_key redelivered properties payload_bytes=bytes payload",
        body={"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"},
        step=steps.get_messages,
    ),
    Operation(
        "messages",
        "move",
        "Move the ready messages of a queue to another one, in order.",
        "POST",
        f"{_QUEUE}/move",
        (argument("destination", "The queue that gets them."),),
        step=steps.move,
        details="A message leaves one queue when the other has it safe. Only Pillarbox offers this; a "
        "RabbitMQ answers 405.",
    ),
)

CLIENTS = (
    Operation(
        "connections",
        "list",
        "List the connections of clients.",
        "GET",
        "/connections",
        columns="name user vhost protocol state channels ssl=tls client_properties.product=client "
        "client_properties.connection_name=named",
    ),
    Operation("connections", "show", "Show all that is known of it.", "GET", "/connections/{connection}"),
    Operation(
        "connections",
        "close",
        "Close a connection.",
        "DELETE",
        "/connections/{connection}",
        (Parameter("reason", "What the client is told.", where=Where.HEADER, key="X-Reason"),),
        done="connection {connection} is closed",
    ),
    Operation(
        "connections",
        "close-user",
        "Close all connections of a user.",
        "DELETE",
        "/connections/username/{user}",
        (Parameter("reason", "What the clients are told.", where=Where.HEADER, key="X-Reason"),),
        done="the connections of {user} are closed",
    ),
    Operation(
        "channels",
        "list",
        "List the channels of clients.",
        "GET",
        "/channels",
        columns="name user vhost state consumer_count=consumers messages_unacknowledged=unacked "
        "messages_unconfirmed=unconfirmed prefetch_count=prefetch",
    ),
    Operation("channels", "show", "Show all that is known of it.", "GET", "/channels/{channel}"),
    Operation(
        "consumers",
        "list",
        "List the consumers.",
        "GET",
        "/consumers/{vhost}",
        columns="queue.vhost=vhost queue.name=queue consumer_tag channel_details.name=channel "
        "ack_required=acks prefetch_count=prefetch active exclusive",
        path_of_all="/consumers",
    ),
)

_VHOST = "/vhosts/{name}"
_DESCRIBED = (
    option("description", "What it is for."),
    option("tags", "Words for it, with commas."),
    option("default-queue-type", "The type of queues that are declared without one."),
)

ACCESS = (
    Operation(
        "vhosts",
        "list",
        "List the virtual hosts.",
        "GET",
        "/vhosts",
        columns="name description tags default_queue_type messages_ready=ready "
        "messages_unacknowledged=unacked messages tracing",
    ),
    Operation("vhosts", "show", "Show all that is known of a virtual host.", "GET", _VHOST),
    Operation(
        "vhosts",
        "add",
        "Make a virtual host, or describe one anew.",
        "PUT",
        _VHOST,
        _DESCRIBED,
        body={},
        done="virtual host {name} is there",
    ),
    Operation(
        "vhosts",
        "delete",
        "Delete a virtual host and everything in it.",
        "DELETE",
        _VHOST,
        done="virtual host {name} is deleted",
    ),
    Operation(
        "vhosts",
        "protect",
        "Refuse to delete it until it is unprotected.",
        "POST",
        f"{_VHOST}/deletion/protection",
        done="virtual host {name} is protected",
    ),
    Operation(
        "vhosts",
        "unprotect",
        "Let it be deleted again.",
        "DELETE",
        f"{_VHOST}/deletion/protection",
        done="virtual host {name} is not protected",
    ),
    Operation("users", "list", "List the users.", "GET", "/users", columns="name tags"),
    Operation("users", "show", "Show all that is known of a user.", "GET", "/users/{user}"),
    Operation(
        "users",
        "add",
        "Make a user.",
        "PUT",
        "/users/{user}",
        (
            option("tags", "What the user may see of the management, such as monitoring or administrator."),
            *steps.PASSWORD_OPTIONS,
        ),
        body={"tags": ""},
        step=steps.add_user,
        done="user {user} is there; without permissions nothing can be done yet",
    ),
    Operation(
        "users",
        "set-password",
        "Give a user another password.",
        "PUT",
        "/users/{user}",
        steps.PASSWORD_OPTIONS,
        body={},
        step=steps.set_password,
        done="user {user} has another password",
    ),
    Operation(
        "users",
        "set-tags",
        "Give a user these tags instead of the ones before.",
        "PUT",
        "/users/{user}",
        (argument("tags", "The tags, with commas; an empty word: none."),),
        step=steps.set_tags,
        done="user {user} has the tags: {tags}",
    ),
    Operation("users", "delete", "Delete a user.", "DELETE", "/users/{user}", done="user {user} is deleted"),
    Operation(
        "permissions",
        "list",
        "List who may do what in the virtual host.",
        "GET",
        "/vhosts/{vhost}/permissions",
        columns="vhost user configure write read",
        path_of_all="/permissions",
    ),
    Operation(
        "permissions",
        "set",
        "Let a user do things to what these patterns match.",
        "PUT",
        "/permissions/{vhost}/{user}",
        (
            argument("configure", "Names that may be declared and deleted: a regular expression."),
            argument("write", "Names that may be published to and bound."),
            argument("read", "Names that may be consumed from and bound to."),
        ),
        done="permissions of {user} are set",
    ),
    Operation(
        "permissions",
        "delete",
        "Bar a user from the virtual host.",
        "DELETE",
        "/permissions/{vhost}/{user}",
        done="permissions of {user} are deleted",
    ),
    Operation(
        "topic-permissions",
        "list",
        "List who may use which routing keys.",
        "GET",
        "/vhosts/{vhost}/topic-permissions",
        columns="vhost user exchange write read",
        path_of_all="/topic-permissions",
    ),
    Operation(
        "topic-permissions",
        "set",
        "Bind a user to routing keys on an exchange.",
        "PUT",
        "/topic-permissions/{vhost}/{user}",
        (
            argument("exchange", "The exchange."),
            argument("write", "Keys that may be published with: a regular expression."),
            argument("read", "Keys that may be bound."),
        ),
        done="topic permissions of {user} on {exchange} are set",
    ),
    Operation(
        "topic-permissions",
        "delete",
        "Free a user from all rules for routing keys.",
        "DELETE",
        "/topic-permissions/{vhost}/{user}",
        done="topic permissions of {user} are deleted",
    ),
)


def _policies(resource: str, one: str) -> tuple[Operation, ...]:
    item = f"/{resource}/{{vhost}}/{{policy}}"
    return (
        Operation(
            resource,
            "list",
            "List them.",
            "GET",
            f"/{resource}/{{vhost}}",
            columns="vhost name pattern apply-to priority definition",
            path_of_all=f"/{resource}",
        ),
        Operation(resource, "show", "Show one.", "GET", item),
        Operation(
            resource,
            "set",
            "Make or change one.",
            "PUT",
            item,
            (
                argument("pattern", "Names it is for: a regular expression."),
                argument("definition", 'What it sets, such as {"message-ttl": 60000}.', kind=Kind.JSON),
                option("priority", "The highest that matches is used.  [default: 0]", kind=Kind.INTEGER),
                option("apply-to", "queues, exchanges, all or a type of queue.  [default: all]", "apply-to"),
            ),
            body={"priority": 0, "apply-to": "all"},
            done=f"{one} {{policy}} is set",
        ),
        Operation(resource, "delete", "Delete one.", "DELETE", item, done=f"{one} {{policy}} is deleted"),
    )


def _limits(owner: str, columns: str, of_all: bool) -> tuple[Operation, ...]:
    resource, word = f"{owner}-limits", "virtual host" if owner == "vhost" else "user"
    one = f"/{resource}/{{{owner}}}/{{limit}}"
    return (
        Operation(
            resource,
            "list",
            f"List the limits of a {word}." if of_all else f"List the limits of all {word}s.",
            "GET",
            f"/{resource}/{{{owner}}}" if of_all else f"/{resource}",
            columns=columns,
            path_of_all=f"/{resource}" if of_all else "",
        ),
        Operation(
            resource,
            "set",
            f"Limit a {word}.",
            "PUT",
            one,
            (argument("value", "So many; below 0: as many as there are.", kind=Kind.INTEGER),),
            done="{limit} is set",
        ),
        Operation(resource, "delete", f"Lift a limit of a {word}.", "DELETE", one, done="{limit} is lifted"),
    )


_PARAMETER = "/parameters/{component}/{vhost}/{name}"
_SHOVEL = "/shovels/vhost/{vhost}/{name}"
_VALUE = argument("value", "The value.", kind=Kind.JSON)

RULES = (
    *_policies("policies", "policy"),
    *_policies("operator-policies", "operator policy"),
    *_limits("vhost", "vhost value=limits", True),
    *_limits("user", "user value=limits", False),
    Operation(
        "parameters",
        "list",
        "List the runtime parameters of all virtual hosts.",
        "GET",
        "/parameters",
        columns="vhost component name value",
    ),
    Operation(
        "parameters",
        "set",
        "Set a parameter.",
        "PUT",
        _PARAMETER,
        (_VALUE,),
        step=steps.set_parameter,
        done="parameter {name} is set",
    ),
    Operation(
        "parameters",
        "delete",
        "Delete a parameter.",
        "DELETE",
        _PARAMETER,
        done="parameter {name} is deleted",
    ),
    Operation(
        "shovels",
        "list",
        "List the shovels.",
        "GET",
        "/shovels/{vhost}",
        columns="vhost name state reason src_uri src_queue src_exchange dest_uri dest_queue dest_exchange",
        path_of_all="/shovels",
        details="They are set as parameters of the component shovel.",
    ),
    Operation("shovels", "show", "Show what a shovel does.", "GET", _SHOVEL),
    Operation(
        "shovels",
        "restart",
        "Let a shovel begin anew.",
        "DELETE",
        f"{_SHOVEL}/restart",
        done="shovel {name} begins anew",
    ),
    Operation(
        "shovels",
        "delete",
        "End a shovel and delete its parameter.",
        "DELETE",
        _SHOVEL,
        done="shovel {name} is deleted",
    ),
    Operation(
        "global-parameters",
        "list",
        "List the parameters of the whole broker.",
        "GET",
        "/global-parameters",
        columns="name value",
    ),
    Operation(
        "global-parameters",
        "set",
        "Set a parameter.",
        "PUT",
        "/global-parameters/{name}",
        (_VALUE,),
        done="parameter {name} is set",
    ),
    Operation(
        "global-parameters",
        "delete",
        "Delete a parameter.",
        "DELETE",
        "/global-parameters/{name}",
        done="parameter {name} is deleted",
    ),
    Operation(
        "definitions",
        "export",
        "Write everything that is defined as RabbitMQ's JSON.",
        "GET",
        "/definitions",
        (
            step_argument("file", "Where to; without it, or with -, standard output.", is_optional=True),
            step_option("only-vhost", "Of this virtual host alone, without users."),
        ),
        step=steps.export_definitions,
    ),
    Operation(
        "definitions",
        "import",
        "Add what such a file defines. Nothing is removed.",
        "POST",
        "/definitions",
        (
            step_argument("file", "The file; without it, or with -, standard input.", is_optional=True),
            step_option("only-vhost", "A file of one virtual host, into this one."),
        ),
        step=steps.import_definitions,
        done="the definitions are imported",
    ),
)


def _check(verb: str, summary: str, path: str, *parameters: Parameter) -> Operation:
    return Operation("health", verb, summary, "GET", path, parameters, columns="status", step=steps.check)


BROKER = (
    _check("alarms", "No resource is short.", "/health/checks/alarms"),
    _check("local-alarms", "No resource of this node is short.", "/health/checks/local-alarms"),
    _check("port", "Something listens on a port.", "/health/checks/port-listener/{port}"),
    _check("protocol", "Something speaks a protocol.", "/health/checks/protocol-listener/{protocol}"),
    _check("vhosts", "All virtual hosts run.", "/health/checks/virtual-hosts"),
    _check(
        "certificates",
        "No certificate ends within this time.",
        "/health/checks/certificate-expiration/{within}/{unit}",
    ),
    _check("aliveness", "A queue of the virtual host works.", "/aliveness-test/{vhost}"),
    Operation(
        "overview",
        "",
        "Show what runs here, and how much of everything there is.",
        "GET",
        "/overview",
        columns="product_name product_version rabbitmq_version cluster_name node object_totals.connections="
        "connections object_totals.channels=channels object_totals.consumers=consumers "
        "object_totals.exchanges=exchanges object_totals.queues=queues queue_totals.messages_ready=ready "
        "queue_totals.messages_unacknowledged=unacked queue_totals.messages=messages "
        "message_stats.publish_details.rate=in/s message_stats.deliver_get_details.rate=out/s",
    ),
    Operation("whoami", "", "Show as whom you are logged in.", "GET", "/whoami"),
    Operation(
        "nodes",
        "list",
        "List the nodes.",
        "GET",
        "/nodes",
        columns="name running uptime mem_used mem_limit mem_alarm disk_free disk_free_alarm fd_used "
        "sockets_used",
    ),
    Operation(
        "nodes",
        "show",
        "Show all that is known of a node.",
        "GET",
        "/nodes/{node}",
    ),
    Operation("nodes", "memory", "Show what takes its memory.", "GET", "/nodes/{node}/memory"),
    Operation(
        "nodes",
        "set-limits",
        "Limit memory and disk until the next start.",
        "PUT",
        "/nodes/{node}/limits",
        (
            option("memory-high-watermark", "A share of the memory or a size."),
            option("disk-free-min", "A size."),
        ),
        done="the limits of {node} are set",
        details="Only Pillarbox knows that path; a RabbitMQ answers 404.",
    ),
    Operation("cluster-name", "show", "Show the name that clients are told.", "GET", "/cluster-name"),
    Operation(
        "cluster-name",
        "set",
        "Give the broker a name.",
        "PUT",
        "/cluster-name",
        (argument("name", "The name."),),
        done="the name is {name}",
    ),
    Operation(
        "api",
        "",
        "Send any request of the management API.",
        "",
        "",
        (
            step_argument("method", "GET, PUT, POST or DELETE."),
            step_argument("path", "A path under /api with its query, such as /queues/%2F?sort=name."),
            step_argument("body", "A JSON document.", Kind.JSON, is_optional=True),
        ),
        step=steps.send_any,
        details="For what has no command of its own.",
    ),
)

OPERATIONS: tuple[Operation, ...] = (
    *QUEUES,
    *SUPER_STREAMS,
    *EXCHANGES,
    *BINDINGS,
    *MESSAGES,
    *CLIENTS,
    *ACCESS,
    *RULES,
    *KAFKA,
    *MESSAGING,
    *BROKER,
)
