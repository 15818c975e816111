"""The configs of topics that Kafka 4.2 has, a row each: type, default, what is valid, what it does here.

To add one: a row. A row with an `option` becomes that field of `LogOptions` for every log of the topic
(`configs.options_of`); of the others, some are read by those who take records in (`max.message.bytes`, the
rules of timestamps), and what the row's text says has no effect is only kept and shown.

Not here: changing and showing them (`configs`, `api`). Source: Kafka's "Topic Configs"; KIP-1030 (defaults
and smallest values of 4.0); rows K32, K39.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple

LONG_MAX: Final = (1 << 63) - 1
INT_MAX: Final = (1 << 31) - 1

DAY_MS: Final = 24 * 3600 * 1000


class Kind(IntEnum):
    """The type of a config, as DescribeConfigs numbers it."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    LONG = 5
    DOUBLE = 6
    LIST = 7


class Unfit(ValueError):
    """A value that is not valid; says why in a sentence that names the config."""


Check = Callable[[str], str | None]
"""Gets a value in its plain form; says what is wrong with it."""


class Row(NamedTuple):
    """One config."""

    name: str
    kind: Kind
    default: str
    text: str
    check: Check = lambda value: None
    synonyms: tuple[str, ...] = ()
    """The broker's configs that are the default of this one, the strongest first."""
    option: str = ""
    """The field of `LogOptions` that it becomes."""
    hidden: bool = False
    """Is taken, but not shown where it is not set."""


# --- what is valid ------------------------------------------------------------------------------------


def between(least: float, most: float | None = None) -> Check:
    """A number in this range, both ends included."""

    def check(value: str) -> str | None:
        number = float(value)
        if not number >= least:  # NaN is nowhere.
            return f"Value must be at least {least}"
        return f"Value must be no more than {most}" if most is not None and number > most else None

    return check


def one_of(*words: str) -> Check:
    """One of these words, or for a list any of them."""

    def check(value: str) -> str | None:
        unknown = [word for word in value.split(",") if word not in words]
        return f"String must be one of: {', '.join(words)}" if unknown and value else None

    return check


def gzip_level(value: str) -> str | None:
    return None if value == "-1" or 1 <= int(value) <= 9 else "Value must be between 1 and 9 or equal to -1"


def throttled(value: str) -> str | None:
    """`*`, or partition:broker for each."""
    words = value.split(",") if value else []
    fits = words == ["*"] or all(
        len(parts := word.split(":")) == 2 and all(part.isdigit() for part in parts) for word in words
    )
    return None if fits else "must be the literal '*' or a list of [partitionId]:[brokerId]"


# --- plain forms --------------------------------------------------------------------------------------


def _whole(most: int, name: str) -> Callable[[str], str]:
    def plain(text: str) -> str:
        try:
            number = int(text.strip())
        except ValueError:
            raise Unfit(f"Not a number of type {name}") from None
        if not -most - 1 <= number <= most:
            raise Unfit(f"Not a number of type {name}")
        return str(number)

    return plain


def _fraction(text: str) -> str:
    try:
        return str(float(text.strip()))
    except ValueError:
        raise Unfit("Not a number of type DOUBLE") from None


def _flag(text: str) -> str:
    word = text.strip().lower()
    if word not in ("true", "false"):
        raise Unfit("Expected value to be either true or false")
    return word


PLAIN: Final[dict[Kind, Callable[[str], str]]] = {
    Kind.BOOLEAN: _flag,
    Kind.STRING: str.strip,
    Kind.INT: _whole(INT_MAX, "INT"),
    Kind.LONG: _whole(LONG_MAX, "LONG"),
    Kind.DOUBLE: _fraction,
    Kind.LIST: lambda text: ",".join(word.strip() for word in text.split(",")) if text.strip() else "",
}
"""How a value is written by type, whatever form a client gave it; raises Unfit."""


def plain(row: Row, text: str) -> str:
    """A valid value of a config in its plain form. Raises Unfit."""
    try:
        value = PLAIN[row.kind](text)
    except Unfit as unfit:
        raise Unfit(f"Invalid value {text} for configuration {row.name}: {unfit}") from None
    wrong = row.check(value)
    if wrong is not None:
        raise Unfit(f"Invalid value {text} for configuration {row.name}: {wrong}")
    return value


# --- the table ----------------------------------------------------------------------------------------

COMPACT: Final = "compact"
DELETE: Final = "delete"
CODECS: Final = ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")

_ROWS: Final = (
    Row(
        "cleanup.policy",
        Kind.LIST,
        DELETE,
        "What becomes of old records: delete removes whole segments by age and size, compact keeps the last "
        "record of each key; both may be given, and none keeps everything.",
        one_of(COMPACT, DELETE),
        ("log.cleanup.policy",),
    ),
    Row(
        "compression.gzip.level",
        Kind.INT,
        "-1",
        "How hard gzip tries, from 1 to 9; -1 is its own default. Has no effect: batches are kept as they "
        "came.",
        gzip_level,
        ("compression.gzip.level",),
    ),
    Row(
        "compression.lz4.level",
        Kind.INT,
        "9",
        "How hard lz4 tries. Has no effect: batches are kept as they came.",
        between(1, 17),
        ("compression.lz4.level",),
    ),
    Row(
        "compression.type",
        Kind.STRING,
        "producer",
        "The codec of the topic. Batches are kept as their producer compressed them, whatever this says.",
        one_of(*CODECS),
        ("compression.type",),
    ),
    Row(
        "compression.zstd.level",
        Kind.INT,
        "3",
        "How hard zstd tries. Has no effect: batches are kept as they came.",
        between(-131_072, 22),
        ("compression.zstd.level",),
    ),
    Row(
        "delete.retention.ms",
        Kind.LONG,
        str(DAY_MS),
        "How long the mark of a deleted key stays in a compacted topic.",
        between(0),
        ("log.cleaner.delete.retention.ms",),
        "delete_retention_ms",
    ),
    Row(
        "file.delete.delay.ms",
        Kind.LONG,
        "60000",
        "How long a file stays after its segment has gone. Has no effect: files go at once.",
        between(0),
        ("log.segment.delete.delay.ms",),
    ),
    Row(
        "flush.messages",
        Kind.LONG,
        str(LONG_MAX),
        "After how many records a log is synced to disk; with 1, a producer is answered only then.",
        between(1),
        ("log.flush.interval.messages",),
        "flush_messages",
    ),
    Row(
        "flush.ms",
        Kind.LONG,
        str(LONG_MAX),
        "After how long a log is synced to disk.",
        between(0),
        ("log.flush.interval.ms", "log.flush.scheduler.interval.ms"),
        "flush_ms",
    ),
    Row(
        "follower.replication.throttled.replicas",
        Kind.LIST,
        "",
        "Replicas whose fetching is slowed down. Has no effect on one node.",
        throttled,
    ),
    Row(
        "index.interval.bytes",
        Kind.INT,
        "4096",
        "About how many bytes of records lie between two entries of an index.",
        between(0),
        ("log.index.interval.bytes",),
        "index_interval_bytes",
    ),
    Row(
        "leader.replication.throttled.replicas",
        Kind.LIST,
        "",
        "Replicas whose sending is slowed down. Has no effect on one node.",
        throttled,
    ),
    Row(
        "local.retention.bytes",
        Kind.LONG,
        "-2",
        "How many bytes stay here of a tiered topic. Has no effect: there is no tiered storage.",
        between(-2),
        ("log.local.retention.bytes",),
    ),
    Row(
        "local.retention.ms",
        Kind.LONG,
        "-2",
        "How long records stay here of a tiered topic. Has no effect: there is no tiered storage.",
        between(-2),
        ("log.local.retention.ms",),
    ),
    Row(
        "max.compaction.lag.ms",
        Kind.LONG,
        str(LONG_MAX),
        "How long a record may wait for compaction at most.",
        between(1),
        ("log.cleaner.max.compaction.lag.ms",),
        "max_compaction_lag_ms",
    ),
    Row(
        "max.message.bytes",
        Kind.INT,
        "1048588",
        "The largest batch that is taken in, as it is compressed.",
        between(0),
        ("message.max.bytes",),
    ),
    Row(
        "message.timestamp.after.max.ms",
        Kind.LONG,
        "3600000",
        "How far a record's timestamp may be ahead of the broker's clock.",
        between(0),
        ("log.message.timestamp.after.max.ms",),
    ),
    Row(
        "message.timestamp.before.max.ms",
        Kind.LONG,
        str(LONG_MAX),
        "How far a record's timestamp may be behind the broker's clock.",
        between(0),
        ("log.message.timestamp.before.max.ms",),
    ),
    Row(
        "message.timestamp.type",
        Kind.STRING,
        "CreateTime",
        "Whose time a record has: its producer's, or that of its arrival.",
        one_of("CreateTime", "LogAppendTime"),
        ("log.message.timestamp.type",),
    ),
    Row(
        "min.cleanable.dirty.ratio",
        Kind.DOUBLE,
        "0.5",
        "What part of a log has to be new before it is compacted.",
        between(0, 1),
        ("log.cleaner.min.cleanable.ratio",),
        "min_cleanable_ratio",
    ),
    Row(
        "min.compaction.lag.ms",
        Kind.LONG,
        "0",
        "How long a record is sure to stay before compaction.",
        between(0),
        ("log.cleaner.min.compaction.lag.ms",),
        "min_compaction_lag_ms",
    ),
    Row(
        "min.insync.replicas",
        Kind.INT,
        "1",
        "How many replicas must have a record that was sent with acks=all. Has no effect: there is one, and "
        "no more are asked for than there are.",
        between(1),
        ("min.insync.replicas",),
    ),
    Row(
        "preallocate",
        Kind.BOOLEAN,
        "false",
        "Whether files get their full size at once. Has no effect.",
        synonyms=("log.preallocate",),
    ),
    Row(
        "remote.log.copy.disable",
        Kind.BOOLEAN,
        "false",
        "Whether a tiered topic stays here from now on. Has no effect: there is no tiered storage.",
    ),
    Row(
        "remote.log.delete.on.disable",
        Kind.BOOLEAN,
        "false",
        "Whether the far part of a tiered topic goes. Has no effect: there is no tiered storage.",
    ),
    Row(
        "remote.storage.enable",
        Kind.BOOLEAN,
        "false",
        "Whether the topic is tiered. Cannot be turned on.",
        lambda value: "Tiered Storage functionality is disabled in the broker" if value == "true" else None,
    ),
    Row(
        "retention.bytes",
        Kind.LONG,
        "-1",
        "How large a partition may become before its oldest segments go; -1: as large as it likes.",
        synonyms=("log.retention.bytes",),
        option="retention_bytes",
    ),
    Row(
        "retention.ms",
        Kind.LONG,
        str(7 * DAY_MS),
        "How old a segment's newest record may become before the segment goes; -1: any age.",
        between(-1),
        ("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
        "retention_ms",
    ),
    Row(
        "segment.bytes",
        Kind.INT,
        str(1 << 30),
        "How large a segment becomes before the next one begins.",
        between(1 << 20),
        ("log.segment.bytes",),
        "segment_bytes",
    ),
    Row(
        "internal.segment.bytes",
        Kind.INT,
        "",
        "As segment.bytes, but smaller ones are valid, too; for tests.",
        between(14),
        option="segment_bytes",
        hidden=True,
    ),
    Row(
        "segment.index.bytes",
        Kind.INT,
        "10485760",
        "The size of an index. Has no effect: an index is as large as it has to be.",
        between(4),
        ("log.index.size.max.bytes",),
    ),
    Row(
        "segment.jitter.ms",
        Kind.LONG,
        "0",
        "How much of segment.ms is left to chance. Has no effect: segments begin exactly then.",
        between(0),
        ("log.roll.jitter.ms", "log.roll.jitter.hours"),
    ),
    Row(
        "segment.ms",
        Kind.LONG,
        str(7 * DAY_MS),
        "How long a segment may be written to before the next one begins.",
        between(1),
        ("log.roll.ms", "log.roll.hours"),
        "segment_ms",
    ),
    Row(
        "unclean.leader.election.enable",
        Kind.BOOLEAN,
        "false",
        "Whether a replica that is behind may lead. Has no effect on one node.",
        synonyms=("unclean.leader.election.enable",),
    ),
)

TOPIC_CONFIGS: Final = {row.name: row for row in _ROWS}
"""By name."""
