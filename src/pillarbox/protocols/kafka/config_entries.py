"""Configs as they are shown: with where a value comes from and what stands behind it.

The value of a topic's config is its own, or that of the first of the broker's configs behind it that has
one. Not here: what the configs are (`config_table`, `broker_configs`).

Source: KIP-133, KIP-226 (sources and synonyms); Kafka's `ConfigHelper`; row K32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox.protocols.kafka.broker_configs import BROKER_CONFIGS
from pillarbox.protocols.kafka.config_table import TOPIC_CONFIGS, Kind
from pillarbox.protocols.kafka.groups.group_configs import GROUP_CONFIGS

if TYPE_CHECKING:
    from pillarbox.protocols.kafka.head import Head

TOPIC_SOURCE: Final = 1
GROUP_SOURCE: Final = 8
STATIC_BROKER_SOURCE: Final = 4
DEFAULT_SOURCE: Final = 5
"""Kafka's numbers of where a value comes from."""


class Synonym(NamedTuple):
    """A value, or what would be it if that were not set."""

    name: str
    value: str | None
    source: int


class Entry(NamedTuple):
    """One config as it is. `synonyms`: the strongest first, which gives the value."""

    name: str
    value: str | None
    source: int
    kind: Kind
    text: str
    synonyms: list[Synonym]
    read_only: bool = False


def topic_entries(head: Head, settings: Mapping[str, str]) -> Iterator[Entry]:
    """All configs of a topic that was given these settings, by name."""
    for name in sorted(TOPIC_CONFIGS):
        row = TOPIC_CONFIGS[name]
        if row.hidden and name not in settings:
            continue
        synonyms = [Synonym(name, settings[name], TOPIC_SOURCE)] if name in settings else []
        for other in row.synonyms[:1]:  # Kafka does not show those in other units either.
            synonyms += _of_broker(head, other)
        source = synonyms[0].source if synonyms else DEFAULT_SOURCE
        yield Entry(name, settings.get(name, row.default), source, row.kind, row.text, synonyms)


def group_entries(head: Head, name: str) -> Iterator[Entry]:
    """All configs of a group, by name."""
    configs = head.groups.configs
    given = configs.given(name)
    for key, row in sorted(GROUP_CONFIGS.items()):
        value = Synonym(key, configs.default(row), DEFAULT_SOURCE)
        if key in given:
            value = Synonym(key, given[key], GROUP_SOURCE)
        yield Entry(key, value.value, value.source, row.kind, row.text, [value])


def broker_entries(head: Head) -> Iterator[Entry]:
    """All configs of the broker, by name; none can be changed."""
    for name, row in BROKER_CONFIGS.items():
        synonyms = _of_broker(head, name)
        source = synonyms[0].source if synonyms else DEFAULT_SOURCE
        value = synonyms[0].value if synonyms else None
        yield Entry(name, value, source, row.kind, row.text, synonyms, read_only=True)


def _of_broker(head: Head, name: str) -> list[Synonym]:
    """What the broker has under a name: what it was given, then what is usual."""
    row = BROKER_CONFIGS[name]
    value = row.current(head)
    found = []
    if value != row.default:
        found.append(Synonym(name, value, STATIC_BROKER_SOURCE))
    if row.default is not None:
        found.append(Synonym(name, row.default, DEFAULT_SOURCE))
    return found
