"""Where our documents differ from RabbitMQ's in keys or types, and why. Each row must still be needed."""

from __future__ import annotations

from collections.abc import Iterator

STATUS = {
    "nodes/{node}/memory/ets": "tables of Erlang's, which there are none of: 404",
    "connections/{connection}/sessions": "3.10 does not know the path, 4.1 refuses all but AMQP 1.0: 400",
}
"""Documents that are not there, or refused in another way."""

MISSING = {
    ("overview*", "listeners[[]].socket_opts*"): "options of Erlang's sockets",
    ("overview*", "message_stats.disk_*"): "reads and writes of the message store are not counted",
    ("nodes*", "*config_files[[]]"): "which file the settings came from is not kept",
    ("nodes*", "*context_switches*"): "Erlang's scheduler",
    ("nodes*", "*gc_*"): "Erlang's garbage collector",
    ("nodes*", "*io_*"): "RabbitMQ's file handle cache",
    ("nodes*", "*mnesia_*"): "RabbitMQ's database",
    ("nodes*", "*msg_store_*"): "RabbitMQ's message store",
    ("nodes*", "*queue_index_*"): "RabbitMQ's queue index",
    ("nodes*", "*ra_open_file_metrics*"): "RabbitMQ's Raft library",
    ("global-parameters", "[[]]*"): "RabbitMQ has internal_cluster_id there from the start",
    ("definitions", "global_parameters[[]]*"): "likewise",
    ("nodes/{node}/memory", "memory.*"): "parts of Erlang's memory",
    ("queues?disable_stats=true&enable_queue_totals=true", "[[]].totals"): "null for streams, a slip in 3.10",
    ("queues?disable_stats=true&enable_queue_totals=true", "[[]].type_specific"): "likewise",
}
"""(document, what it has that ours has not) → why."""

MORE = {
    ("auth", "oauth_enabled"): "3.13 has it",
    ("definitions", "queues[[]].type"): "3.13 has it",
    ("definitions", "users[[]].scram*"): "verifiers, which RabbitMQ does not have",
    ("definitions", "vhosts[[]].*"): "3.13 has it",
    ("queues*", "*log_bytes"): "what a stream takes on disk, which RabbitMQ does not say",
    ("vhosts*", "*protected_from_deletion"): "4.x has it",
}
"""(document, what ours has besides) → why."""

TYPES = {
    ("overview*", "listeners[[]].socket_opts"): "an empty object where Erlang's empty list is",
    (
        "queues?disable_stats=true&enable_queue_totals=true",
        "[[]].exclusive",
    ): "null for streams, a slip in 3.10",
}
"""(document, what is of another type) → why."""


def in_words() -> Iterator[str]:
    """The differences for docs/compatibility.md."""
    for document, why in STATUS.items():
        yield f"`/api/{document}` has another status: {why}."
    for what, table in (("lacks", MISSING), ("has besides", MORE), ("has as another type", TYPES)):
        for (document, keys), why in table.items():
            yield f"`/api/{document}` {what} `{keys}`: {why}."
