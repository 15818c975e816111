"""The configs of groups that Kafka 4.2 has, a row each, and what each group was given of them.

A group has configs by its name, whether it is there or not: they are set before its first member comes. Those
of share groups and consumer groups count; a group of the other kind does not look at them.

The limits are the widest that an operator of Kafka may permit. Not here: requests and answers (`alteration`,
`api`). Invariant: what is kept is valid. Source: KIP-848, KIP-932; Kafka's "Group Configs"; rows K32, K56.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from pillarbox.protocols.kafka.config_table import Kind, Row, Unfit, between, one_of, plain
from pillarbox.protocols.kafka.errors import ErrorCode, Refused
from pillarbox.protocols.kafka.groups.records import CONFIGS, config_key, decode_configs, encode, parts_of
from pillarbox.protocols.kafka.groups.share import ShareSettings

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.protocols.kafka.groups.coordinator import GroupSettings

SET, REMOVE, APPEND = range(3)
"""What can be done to one config (IncrementalAlterConfigs)."""
LATEST: Final = "latest"
EARLIEST: Final = "earliest"
BY_DURATION: Final = "by_duration:"
DURATION: Final = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)
UNIT_MS: Final = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1_000}
COMMITTED: Final = "read_committed"
LOCK_MS_MAX: Final = 60_000
"""Kafka's `group.share.max.record.lock.duration.ms`."""


def duration_ms(text: str) -> int | None:
    """Of `PnDTnHnMn.nS`; None: it is none."""
    found = DURATION.fullmatch(text)
    if found is None or not any(found.groupdict().values()):
        return None
    return int(sum(float(value or 0) * UNIT_MS[unit] for unit, value in found.groupdict().items()))


def where_to_begin(value: str) -> str | None:
    """What is wrong with a place to begin reading."""
    if value in (LATEST, EARLIEST):
        return None
    if value.startswith(BY_DURATION) and duration_ms(value.removeprefix(BY_DURATION)) is not None:
        return None
    return (
        f"Invalid value `{value}` for configuration share.auto.offset.reset. The value must be either "
        "'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'."
    )


_ROWS: Final = (
    Row(
        "consumer.heartbeat.interval.ms",
        Kind.INT,
        "",
        "How often members of a consumer group of the new protocol are heard of.",
        between(1),
    ),
    Row(
        "consumer.session.timeout.ms",
        Kind.INT,
        "",
        "After what silence a member of such a group is given up.",
        between(1),
    ),
    Row(
        "share.auto.offset.reset",
        Kind.STRING,
        LATEST,
        "Where a share group begins in a partition: at the end, at the beginning (earliest), or as long ago "
        "as by_duration:PnDTnHnMn.nS says.",
        where_to_begin,
    ),
    Row(
        "share.heartbeat.interval.ms",
        Kind.INT,
        "",
        "How often members of a share group are heard of.",
        between(1),
    ),
    Row(
        "share.isolation.level",
        Kind.STRING,
        "read_uncommitted",
        "Whether a share group gets what transactions that are open or were aborted have written.",
        one_of(COMMITTED, "read_uncommitted"),
    ),
    Row(
        "share.record.lock.duration.ms",
        Kind.INT,
        "30000",
        "How long a member of a share group has a record for itself.",
        between(1000),
    ),
    Row(
        "share.session.timeout.ms",
        Kind.INT,
        "",
        "After what silence a member of a share group is given up.",
        between(1),
    ),
    Row(
        "streams.heartbeat.interval.ms",
        Kind.INT,
        "5000",
        "Has no effect: there are no streams groups.",
        between(1),
    ),
    Row(
        "streams.initial.rebalance.delay.ms",
        Kind.INT,
        "3000",
        "Has no effect: there are no streams groups.",
        between(0),
    ),
    Row(
        "streams.num.standby.replicas",
        Kind.INT,
        "0",
        "Has no effect: there are no streams groups.",
        between(0),
    ),
    Row(
        "streams.session.timeout.ms",
        Kind.INT,
        "45000",
        "Has no effect: there are no streams groups.",
        between(1),
    ),
)

GROUP_CONFIGS: Final = {row.name: row for row in _ROWS}
"""By name. A default that is empty is the broker's: see `GroupConfigs.default`."""

BROKERS: Final[dict[str, Callable[[GroupSettings], int]]] = {
    "consumer.heartbeat.interval.ms": lambda settings: settings.consumer_heartbeat_ms,
    "consumer.session.timeout.ms": lambda settings: settings.consumer_session_timeout_ms,
    "share.heartbeat.interval.ms": lambda settings: settings.consumer_heartbeat_ms,
    "share.session.timeout.ms": lambda settings: settings.consumer_session_timeout_ms,
}
"""What an operator of the broker sets for groups that were given nothing."""


def altered(given: Mapping[str, str], operations: Iterable[tuple[str, int, str | None]]) -> dict[str, str]:
    """Configs after these (name, operation, value). Raises Refused."""
    changed = dict(given)
    for name, operation, value in operations:
        row = GROUP_CONFIGS.get(name)
        if row is None:
            raise Refused(ErrorCode.INVALID_CONFIG, f"Unknown group config name: {name}")
        if operation == REMOVE:
            changed.pop(name, None)
        elif operation == SET:
            changed[name] = _checked(row, value or "")
        else:
            what = "append" if operation == APPEND else "subtract"
            text = f"Can't {what} to key {name} because its type is not LIST."
            raise Refused(ErrorCode.INVALID_CONFIG, text)
    lock_ms = int(changed.get("share.record.lock.duration.ms", 0))
    if lock_ms > LOCK_MS_MAX:
        text = (
            "share.record.lock.duration.ms must be less than or equal to "
            "group.share.max.record.lock.duration.ms"
        )
        raise Refused(ErrorCode.INVALID_CONFIG, text)
    return changed


def _checked(row: Row, value: str) -> str:
    try:
        return plain(row, value)
    except Unfit as unfit:
        raise Refused(ErrorCode.INVALID_CONFIG, str(unfit)) from None


class GroupConfigs:
    """What groups were given, by their names."""

    def __init__(self, core: Core, settings: GroupSettings) -> None:
        self._core = core
        self._settings = settings
        self._given: dict[str, dict[str, str]] = {}
        self._shares: dict[str, ShareSettings] = {}
        """Worked out before; those of groups without configs under the empty name."""
        for key, value in core.kept(CONFIGS):
            self._given[str(parts_of(CONFIGS, key)[0])] = decode_configs(value)

    def __repr__(self) -> str:
        return f"<GroupConfigs {len(self._given)}>"

    def __iter__(self) -> Iterator[str]:
        """Names of groups that were given some."""
        return iter(sorted(self._given))

    def given(self, name: str) -> Mapping[str, str]:
        """What a group was given."""
        return self._given.get(name, {})

    def default(self, row: Row) -> str:
        """What counts for a group that was not given this."""
        read = BROKERS.get(row.name)
        return row.default if read is None else str(read(self._settings))

    def number(self, group: str, name: str) -> int:
        """What counts for a group, of a config that is a number."""
        value = self.given(group).get(name)
        return int(self.default(GROUP_CONFIGS[name]) if value is None else value)

    def demand_sense(self, given: Mapping[str, str]) -> None:
        """Refuse what does not fit together, with what the broker has where nothing was given.

        Raises Refused.
        """
        for kind in ("consumer", "share"):
            names = f"{kind}.session.timeout.ms", f"{kind}.heartbeat.interval.ms"
            session_ms, heartbeat_ms = (
                int(given.get(name) or self.default(GROUP_CONFIGS[name])) for name in names
            )
            if session_ms <= heartbeat_ms and given.keys() & set(names):
                raise Refused(ErrorCode.INVALID_CONFIG, f"{names[0]} must be greater than {names[1]}")

    def configure(self, name: str, configs: Mapping[str, str]) -> None:
        """Give a group these and no others."""
        self._shares.pop(name, None)
        if configs:
            self._given[name] = dict(configs)
            self._core.keep(config_key(name), encode(dict(configs)))
        elif self._given.pop(name, None) is not None:
            self._core.keep(config_key(name), None)

    def share(self, name: str) -> ShareSettings:
        """What counts for a share group."""
        name = name if name in self._given else ""
        known = self._shares.get(name)
        if known is None:
            known = self._shares[name] = self._share(name)
        return known

    def _share(self, name: str) -> ShareSettings:
        given = self.given(name)
        begins = given.get("share.auto.offset.reset", LATEST)
        ago_ms = duration_ms(begins.removeprefix(BY_DURATION)) if begins.startswith(BY_DURATION) else None
        return ShareSettings(
            begins if ago_ms is None else "",
            ago_ms or 0,
            self.number(name, "share.heartbeat.interval.ms"),
            self.number(name, "share.session.timeout.ms"),
            self.number(name, "share.record.lock.duration.ms"),
            given.get("share.isolation.level") == COMMITTED,
        )
