"""The settings of topics: what clients may set, what it means to logs, and how it is shown.

A topic keeps what it was given in Kafka's words, in their plain forms, and the fields of `LogOptions` that
follow from them. A stream that was made by another protocol was given nothing in these words: it shows what
its logs do, and takes it all over when it is first altered here.

Not here: the table itself (`config_table`), requests and answers (`api`). Source: Kafka's "Topic Configs";
rows K32, K39, T15. Invariant: what is kept is valid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pillarbox.protocols.kafka.config_table import (
    COMPACT,
    DELETE,
    LONG_MAX,
    TOPIC_CONFIGS,
    Kind,
    Row,
    Unfit,
    plain,
)
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.store.log_base import UNLIMITED

if TYPE_CHECKING:
    from pillarbox.broker.topics import Topic, Topics

SET, REMOVE, APPEND, SUBTRACT = range(4)
"""What can be done to one config (IncrementalAlterConfigs)."""

_OPTION_ROWS: Final = tuple(row for row in TOPIC_CONFIGS.values() if row.option)


def value_of(settings: Mapping[str, str], name: str) -> str:
    """What counts for a topic with these settings."""
    return settings.get(name, TOPIC_CONFIGS[name].default)


def policies_of(settings: Mapping[str, str]) -> frozenset[str]:
    """What is done with old records: some of `COMPACT` and `DELETE`."""
    return frozenset(value_of(settings, "cleanup.policy").split(",")) - {""}


# --- what is valid ------------------------------------------------------------------------------------


def checked(given: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Settings in their plain forms. Raises Refused (INVALID_CONFIG)."""
    settings: dict[str, str] = {}
    for name, value in given:
        row = TOPIC_CONFIGS.get(name)
        if row is None:
            raise Refused(ErrorCode.INVALID_CONFIG, f"Unknown topic config name: {name}")
        if value is None:
            text = f"Null value not supported for topic configs: {name}"
            raise Refused(ErrorCode.INVALID_CONFIG, text)
        try:
            settings[name] = plain(row, value)
        except Unfit as unfit:
            raise Refused(ErrorCode.INVALID_CONFIG, str(unfit)) from None
    least, most = (int(value_of(settings, f"{end}.compaction.lag.ms")) for end in ("min", "max"))
    if least > most:
        text = f"min.compaction.lag.ms ({least}) is larger than max.compaction.lag.ms ({most})"
        raise Refused(ErrorCode.INVALID_CONFIG, text)
    return settings


def altered(settings: Mapping[str, str], operations: Iterable[tuple[str, int, str | None]]) -> dict[str, str]:
    """Settings after these (name, operation, value). Raises Refused."""
    changed: dict[str, str] = dict(settings)
    for name, operation, value in operations:
        if operation == REMOVE:
            changed.pop(name, None)
        elif operation == SET:
            changed[name] = value or ""
        elif operation in (APPEND, SUBTRACT):
            changed[name] = _listed(changed, name, operation, value or "")
        else:
            raise Refused(ErrorCode.INVALID_REQUEST, f"Unknown operations type {operation}")
    return checked(changed.items())


def _listed(settings: Mapping[str, str], name: str, operation: int, value: str) -> str:
    """A list with more or fewer words."""
    row = TOPIC_CONFIGS.get(name)
    if row is None or row.kind is not Kind.LIST:
        what = "append" if operation == APPEND else "subtract"
        text = f"Can't {what} to key {name} because its type is not LIST."
        raise Refused(ErrorCode.INVALID_CONFIG, text)
    words = [word for word in value_of(settings, name).split(",") if word]
    given = [word for word in value.split(",") if word]
    if operation == APPEND:
        words += [word for word in given if word not in words]
    else:
        words = [word for word in words if word not in given]
    return ",".join(words)


# --- what it means to logs ----------------------------------------------------------------------------


def options_of(settings: Mapping[str, str]) -> dict[str, Any]:
    """What settings mean to the logs of a topic: fields of `LogOptions`, all that a config stands for.

    Durability is Kafka's: what is written is committed, unless each write is to be synced (T15).
    """
    options: dict[str, Any] = {"durability": "os"}
    for row in _OPTION_ROWS:
        value = settings.get(row.name, row.default)
        if value:
            options[row.option] = _option(row, value)
    policies = policies_of(settings)
    if DELETE not in policies:
        options["retention_ms"] = options["retention_bytes"] = UNLIMITED
    options["compact"] = COMPACT in policies
    return options


def _option(row: Row, value: str) -> float:
    if row.kind is Kind.DOUBLE:
        return float(value)
    number = int(value)
    return UNLIMITED if number < 0 or number == LONG_MAX else number


DEFAULT_OPTIONS: Final = options_of({})
"""Of a topic that was given no settings."""


def settings_of(topics: Topics, topic: Topic) -> Mapping[str, str]:
    """What a topic was given, or where it was given nothing, what its logs do beside what is usual here."""
    known = topics.settings(topic)
    if known or not topic.partitions:
        return known
    options = topic.partitions[0].log.options
    shown: dict[str, str] = {}
    told: set[str] = set()
    for row in _OPTION_ROWS:
        option = getattr(options, row.option)
        if option == DEFAULT_OPTIONS[row.option] or row.option in told:
            continue
        words = [str(option)] if option != UNLIMITED else [str(UNLIMITED), str(LONG_MAX)]
        fitting = next((word for word in words if row.check(word) is None), None)
        if fitting is not None:
            shown[row.name] = fitting
            told.add(row.option)
    if options.durability == "fsync":
        shown["flush.messages"] = "1"
    return shown
