"""Every setting of a broker: one table, from which all places that name settings follow.

Purpose: `Config` is the table. Each field is one row: type, default, the section of the manual, how its
value is written, its limits and one paragraph of help. From it follow the TOML key, the environment
variable, the command-line flag and `docs/configuration.md`; a new option is one new row and nothing else.

Not here: what protocols beside AMQP may be told (`options` in their folders, collected in
`protocols.options`), those who decide logins (`logins.options`, `oauth.options`) and the schema registry
(`ops.registry.options`); what an option does, how its value is written (`config_values`), where it is read
from (`config_sources`).

Invariants: a `Config` that exists is valid, however it was made; every error is one sentence that names
where the value stands, what is expected there and what was found. No password appears in a repr.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast, get_args

import msgspec

from pillarbox.config_rows import UNLIMITED, Row, port_row
from pillarbox.config_rows import ConfigError as ConfigError
from pillarbox.config_values import (
    ADDRESS,
    CHOICE,
    CHOICES,
    COUNT,
    FILE,
    FLAG,
    FOLDER,
    NAMES,
    OFF,
    PORT,
    PORT_MAX,
    SECONDS,
    SIZE,
    TEXT,
    WATERMARK,
)
from pillarbox.endpoints import Endpoint, plain_and_tls
from pillarbox.logins import options as logins
from pillarbox.oauth import options as oauth
from pillarbox.ops.registry import options as schema_registry
from pillarbox.profiles import DEFAULT, PRODUCTS, PROFILES, RELEASES, release
from pillarbox.protocols.options import TABLES, ProtocolOptions

ENV_PREFIX = "PILLARBOX_"

CHANNEL_MAX = 65_535
CONSUMERS_MAX = 1_000_000
"""AMQP 0-9-1 numbers channels with an unsigned 16-bit integer; channel 0 is the connection's own."""

HEARTBEAT_MAX_S = 65_535
"""connection.tune carries the interval as an unsigned 16-bit integer."""

CONSUMER_TIMEOUT_MAX_S = 365 * 24 * 3600
"""A year: whoever wants deliveries to wait longer wants them to wait for ever."""

FRAME_SIZE_FLOOR = 4_096
"""AMQP 0-9-1's frame-min-size: every peer must accept frames of this size, so nothing below can be asked."""

FRAME_SIZE_CEILING = 16 * 1024 * 1024
"""One frame is held in memory until its end octet is seen; beyond this a peer could claim too much."""

MESSAGE_SIZE_CEILING = 512 * 1024 * 1024
"""RabbitMQ's own hard limit for a message; a body is held in memory once while it is received."""

TLS_PAIRS = tuple(
    (f"{prefix}tls_certificate", f"{prefix}tls_key") for prefix in ("", "management_", "prometheus_")
)
"""Options that name a certificate and its key: one without the other is a mistake."""

TLS_FILES = (
    *(name for pair in TLS_PAIRS for name in pair),
    "tls_authorities",
    *logins.FILES,
    *oauth.FILES,
)
"""Options that name files of TLS."""

AUTH_MECHANISMS = ("PLAIN", "AMQPLAIN", "EXTERNAL", "ANONYMOUS")
"""How clients can log in at all."""

DATA_FOLDER = "~/.local/share/pillarbox"
"""Where data are unless something else is said."""

AUTO = "auto"
"""Instead of a protocol: of a port on which it is told by the first bytes."""

LISTENING = "Listening"
MANAGEMENT = "Management"
STORAGE = "Data and durability"
USERS = "First user"
AMQP = "AMQP 0-9-1"
LIMITS = "Limits"
LOGGING = "Logging"

SECTIONS = (
    *(LISTENING, MANAGEMENT, STORAGE, USERS, *logins.SECTIONS, oauth.SECTION, AMQP),
    *(table.section for table in TABLES),
    schema_registry.SECTION,
    *(LIMITS, LOGGING),
)
"""In the order of the manual."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Config(ProtocolOptions, logins.LoginOptions, oauth.OAuthOptions, schema_registry.RegistryOptions):
    """All settings of one broker. Raises ConfigError if one is out of its range."""

    host: Annotated[
        str,
        Row(
            LISTENING,
            TEXT,
            "The address to listen on, a name or a number. `localhost` is every loopback address of the "
            "machine, so that only programs on this machine can connect; `0.0.0.0` is every IPv4 address, "
            "`::` every address. RabbitMQ listens on every address; Pillarbox does so only when told.",
        ),
    ] = "localhost"
    port: Annotated[
        int,
        Row(
            LISTENING,
            PORT,
            "The TCP port for AMQP. 0 takes any free port, which the startup line names; `off`: there is "
            "none, only the one with TLS.",
            minimum=OFF,
            maximum=PORT_MAX,
        ),
    ] = 5672
    tls_port: Annotated[
        int,
        port_row(
            LISTENING,
            "The TCP port for AMQP over TLS, which RabbitMQ has on 5671; it is opened when a certificate is "
            "given.",
        ),
    ] = 5671
    auto_port: Annotated[
        int,
        port_row(
            LISTENING,
            "A TCP port for clients of all protocols, 61616 with ActiveMQ (`auto://`): which one a client "
            "speaks is told by its first bytes. Over WebSocket too, with the extra `websocket`.",
        ),
    ] = OFF
    auto_tls_port: Annotated[
        int,
        port_row(LISTENING, "The same over TLS; it is opened when a `tls_certificate` is given."),
    ] = OFF
    auto_protocols: Annotated[
        tuple[str, ...],
        Row(
            LISTENING,
            NAMES,
            "The protocols that are spoken on these two, such as `amqp,mqtt`; none named: all, also those "
            "that have no port of their own.",
        ),
    ] = ()
    tls_certificate: Annotated[
        str,
        Row(
            LISTENING,
            FILE,
            "The certificate for TLS, with the chain up to the authority, in PEM form. None: no TLS.",
        ),
    ] = ""
    tls_key: Annotated[
        str,
        Row(LISTENING, FILE, "The private key of that certificate, in PEM form, without a password."),
    ] = ""
    tls_sni: Annotated[
        tuple[str, ...],
        Row(
            LISTENING,
            NAMES,
            "Further certificates, for clients that ask for other names (SNI): `NAME=CERTIFICATE:KEY`, "
            "several with commas between them. In `*.NAME` the star stands for one label.",
        ),
    ] = ()
    tls_authorities: Annotated[
        str,
        Row(
            LISTENING,
            FILE,
            "The certificates of the authorities whose client certificates are trusted, in PEM form.",
        ),
    ] = ""
    tls_client_certificate: Annotated[
        str,
        Row(
            LISTENING,
            CHOICE,
            "What clients are asked for: no certificate; one that is checked if it comes; or one that is "
            "checked, without which nobody connects. RabbitMQ calls these verify_none, verify_peer, and "
            "verify_peer with fail_if_no_peer_cert. The last two need `tls_authorities`.",
            choices=("none", "optional", "required"),
        ),
    ] = "none"
    tls_login_from: Annotated[
        str,
        Row(
            LISTENING,
            CHOICE,
            "Where a checked client certificate has the name of the user who logs in by the mechanism "
            "EXTERNAL. A distinguished name is written as in RFC 4514 (`CN=shop,O=Example`).",
            choices=("distinguished_name", "common_name", "subject_alternative_name"),
        ),
    ] = "distinguished_name"
    tls_login_san_type: Annotated[
        str,
        Row(
            LISTENING,
            CHOICE,
            "Which type of alternative name that is, if it is one.",
            choices=("dns", "email", "ip", "uri"),
        ),
    ] = "dns"
    tls_login_san_index: Annotated[
        int,
        Row(
            LISTENING, COUNT, "Which of several alternative names of that type; 0 is the first.", maximum=100
        ),
    ] = 0
    proxy_protocol: Annotated[
        bool,
        Row(
            LISTENING,
            FLAG,
            "Expect every connection to begin with a PROXY header (version 1 or 2) that says who the client "
            "is, as load balancers write it. Whoever sends none is refused, and whoever may connect may "
            "claim to be anybody, from this machine too: let only the load balancer reach the ports.",
        ),
    ] = False

    management_port: Annotated[
        int,
        port_row(MANAGEMENT, "The TCP port of the management API, compatible with RabbitMQ's."),
    ] = 15672
    prometheus_port: Annotated[
        int,
        port_row(MANAGEMENT, "The TCP port of the metrics for Prometheus, under RabbitMQ's names."),
    ] = 15692
    management_tls_port: Annotated[
        int,
        port_row(
            MANAGEMENT,
            "The TCP port of the management API over TLS, opened when `management_tls_certificate` is given.",
        ),
    ] = 15671
    management_tls_certificate: Annotated[
        str,
        Row(
            MANAGEMENT,
            FILE,
            "The certificate of that port, with the chain up to the authority, in PEM form. The port "
            "without TLS stays open beside it unless `management_port` is `off`.",
        ),
    ] = ""
    management_tls_key: Annotated[
        str,
        Row(MANAGEMENT, FILE, "The private key of that certificate, in PEM form, without a password."),
    ] = ""
    prometheus_tls_port: Annotated[
        int,
        port_row(
            MANAGEMENT,
            "The TCP port of the metrics over TLS, opened when `prometheus_tls_certificate` is given.",
        ),
    ] = 15691
    prometheus_tls_certificate: Annotated[
        str,
        Row(
            MANAGEMENT,
            FILE,
            "The certificate of that port, with the chain up to the authority, in PEM form. The port "
            "without TLS stays open beside it unless `prometheus_port` is `off`.",
        ),
    ] = ""
    prometheus_tls_key: Annotated[
        str,
        Row(MANAGEMENT, FILE, "The private key of that certificate, in PEM form, without a password."),
    ] = ""
    activemq_http_port: Annotated[
        int,
        port_row(
            MANAGEMENT,
            "The TCP port of what ActiveMQ has on 8161 for programs: Jolokia, and messages over HTTP.",
        ),
    ] = OFF
    management_host: Annotated[
        str,
        Row(
            MANAGEMENT,
            ADDRESS,
            "The address on which management API and metrics listen, where it is another than `host`.",
        ),
    ] = ""

    data: Annotated[
        str,
        Row(
            STORAGE,
            FOLDER,
            "The folder that holds everything durable. It is made if it is missing, belongs to one running "
            "broker at a time, and depends on nothing but this option: neither on the name of the machine "
            "nor on the folder in which the broker was started.",
        ),
    ] = DATA_FOLDER
    memory: Annotated[
        bool,
        Row(
            STORAGE,
            FLAG,
            "Keep everything in memory and nothing on disk: for tests and for trying things out. `data` is "
            "not looked at, and all is gone when the broker ends.",
        ),
    ] = False
    durability: Annotated[
        str,
        Row(
            STORAGE,
            CHOICE,
            "What a publisher confirm of a persistent message promises. `fsync`: the message is on the disk "
            "and survives a power cut. `os`: it was handed to the operating system and survives the death of "
            "the broker's process, but not a power cut.",
            choices=("fsync", "os"),
        ),
    ] = "fsync"

    default_user: Annotated[
        str,
        Row(
            USERS,
            TEXT,
            "The user that is made when a broker starts on an empty data folder, with permissions in "
            "`default_vhost`. Later starts do not look at it.",
            env_also="RABBITMQ_DEFAULT_USER",
        ),
    ] = "guest"
    default_pass: Annotated[
        str,
        Row(
            USERS,
            TEXT,
            "The password of that user. Other users of the machine can read command lines: prefer the "
            "environment or the file.",
            env_also="RABBITMQ_DEFAULT_PASS",
            secret=True,
        ),
    ] = "guest"
    default_vhost: Annotated[
        str,
        Row(
            USERS,
            TEXT,
            "The virtual host that is made when a broker starts on an empty data folder.",
            env_also="RABBITMQ_DEFAULT_VHOST",
        ),
    ] = "/"
    default_user_tags: Annotated[
        tuple[str, ...],
        Row(USERS, NAMES, "The tags of that user."),
    ] = ("administrator",)
    default_permissions_configure: Annotated[
        str,
        Row(
            USERS,
            TEXT,
            "A regular expression: what that user may configure in `default_vhost`; `^$` is nothing.",
        ),
    ] = ".*"
    default_permissions_write: Annotated[
        str, Row(USERS, TEXT, "The same for what that user may write to.")
    ] = ".*"
    default_permissions_read: Annotated[
        str, Row(USERS, TEXT, "The same for what that user may read from.")
    ] = ".*"
    loopback_users: Annotated[
        tuple[str, ...],
        Row(
            USERS,
            NAMES,
            "Users that may connect from this machine only, because everybody knows their password. `none` "
            "lifts the restriction.",
        ),
    ] = ("guest",)
    load_definitions: Annotated[
        str,
        Row(
            USERS,
            FILE,
            "A file of definitions as RabbitMQ exports them (JSON): virtual hosts, users, permissions, topic "
            "permissions, policies, exchanges, queues and bindings are added to what is there at every "
            "start. Nothing is removed.",
        ),
    ] = ""

    profile: Annotated[
        str,
        Row(
            AMQP,
            CHOICES,
            "Which release of RabbitMQ and which of Kafka to stand in for: the versions that clients are "
            "told, and the behaviour in which releases differ. Clients choose their own ways by it. "
            "`rabbitmq:3.13` takes whatever clients do, and the log names those that do what RabbitMQ 4.3 "
            "refuses; `rabbitmq:4.3` refuses it. `kafka:4.2` is Kafka unless another release of it is named; "
            "`kafka:3.9` serves clients that are too old for Kafka 4 as well. `activemq:classic` and "
            "`activemq:artemis` make ActiveMQ's the dialect of STOMP, in the ways of the one or the other.",
            choices=RELEASES,
            aliases=("--as",),
        ),
    ] = DEFAULT
    auth_mechanisms: Annotated[
        tuple[str, ...],
        Row(
            AMQP,
            NAMES,
            "How clients may log in: PLAIN and AMQPLAIN with a password, EXTERNAL with a TLS certificate "
            "that was checked (see `tls_client_certificate`), which is offered to those who have one, "
            "ANONYMOUS as user guest with the password guest. Empty: what the profile offers.",
        ),
    ] = ()
    heartbeat_s: Annotated[
        int,
        Row(
            AMQP,
            SECONDS,
            "The heartbeat interval offered to clients, which may choose another. A peer that is silent for "
            "two of them is taken for dead. 0 offers none.",
            maximum=HEARTBEAT_MAX_S,
        ),
    ] = 60
    channel_max: Annotated[
        int,
        Row(
            AMQP,
            COUNT,
            "How many channels one connection may open; clients may ask for fewer.",
            minimum=1,
            maximum=CHANNEL_MAX,
        ),
    ] = 2_047
    frame_max: Annotated[
        int,
        Row(
            AMQP,
            SIZE,
            "The largest frame in either direction; clients may ask for a smaller one. Larger messages "
            "travel in several frames.",
            minimum=FRAME_SIZE_FLOOR,
            maximum=FRAME_SIZE_CEILING,
        ),
    ] = 131_072
    frame_min: Annotated[
        int,
        Row(
            AMQP,
            SIZE,
            "The smallest `frame_max` that a client may ask for. 0 is what the profile says: 4096 with "
            "`rabbitmq:3.13`, 8192 with `rabbitmq:4.3`, which shuts out old clients.",
            minimum=FRAME_SIZE_FLOOR,
            maximum=FRAME_SIZE_CEILING,
            by_profile=True,
        ),
    ] = 0
    message_timestamp: Annotated[
        str,
        Row(
            AMQP,
            CHOICE,
            "Write into each message when it came: the header `timestamp_in_ms` and the property `timestamp` "
            "in seconds. `keep` leaves what the publisher has put there, `overwrite` does not.",
            choices=("off", "keep", "overwrite"),
        ),
    ] = "off"
    message_routing_node: Annotated[
        str,
        Row(
            AMQP,
            CHOICE,
            "Write into each message which node took it: the header `x-routed-by`; see `message_timestamp`.",
            choices=("off", "keep", "overwrite"),
        ),
    ] = "off"
    handshake_timeout_s: Annotated[
        int,
        Row(
            AMQP,
            SECONDS,
            "How long a client may take from the accepted socket to an open connection.",
            minimum=1,
            maximum=HEARTBEAT_MAX_S,
        ),
    ] = 10

    event_exchange: Annotated[
        bool,
        Row(
            AMQP,
            FLAG,
            "Tell what happens in the broker on the exchange `amq.rabbitmq.event` of `default_vhost`: "
            "queues, exchanges, bindings, connections, channels, consumers, users, permissions, policies, "
            "parameters, alarms and logins, by routing keys such as `queue.created` (RabbitMQ's plugin "
            "`rabbitmq_event_exchange`).",
        ),
    ] = False

    consumer_timeout_s: Annotated[
        int,
        Row(
            LIMITS,
            SECONDS,
            "How long a consumer may leave a delivery unanswered before its channel is closed with 406 "
            "PRECONDITION_FAILED and its deliveries go back to their queues. A queue's own "
            "`x-consumer-timeout`, in milliseconds, counts instead of it. 0: for ever. RabbitMQ's default is "
            "half an hour.",
            maximum=CONSUMER_TIMEOUT_MAX_S,
        ),
    ] = 0
    consumer_max_per_channel: Annotated[
        int,
        Row(
            LIMITS,
            COUNT,
            "Most consumers of one channel; one more closes the connection with 530 NOT_ALLOWED. 0: no "
            "limit.",
            maximum=CONSUMERS_MAX,
        ),
    ] = 0
    message_size_max: Annotated[
        int,
        Row(
            LIMITS,
            SIZE,
            "The largest body of a message. A larger one closes its channel with 406 PRECONDITION_FAILED, a "
            "STOMP client's connection after an ERROR frame, and an MQTT client's with 0x95. "
            "0 is what the profile says: 128 MiB with `rabbitmq:3.13`, 16 MiB with `rabbitmq:4.3`.",
            minimum=1,
            maximum=MESSAGE_SIZE_CEILING,
            by_profile=True,
        ),
    ] = 0
    memory_budget: Annotated[
        int,
        Row(
            LIMITS,
            SIZE,
            "Memory for the bodies of waiting messages, for all queues together. What does not fit rests on "
            "the disk until it is wanted.",
            minimum=1024 * 1024,
        ),
    ] = 128 * 1024 * 1024
    memory_high_watermark: Annotated[
        float,
        Row(
            LIMITS,
            WATERMARK,
            "When the broker takes more memory than this, publishers are blocked until it takes less than "
            "95 % of it. Consumers go on. Up to 1 it is a share of the machine's memory, or of what the "
            "container or control group may have; else a size. `memory_budget` is at most half of what it "
            "leaves to messages, so that they go to the disk long before. RabbitMQ 3.13 has the same "
            "default, RabbitMQ 4 has 0.6. 0 blocks every publisher.",
        ),
    ] = 0.4
    disk_free_min: Annotated[
        int,
        Row(
            LIMITS,
            SIZE,
            "When the file system of the data folder has less free space than this, publishers are blocked "
            "until there is more again. Consumers go on.",
        ),
    ] = 50_000_000
    connection_max: Annotated[
        int,
        Row(
            LIMITS,
            COUNT,
            "How many client connections may be open at once; a further one is closed with 530 NOT_ALLOWED "
            "when it has logged in, and without a word if 64 are waiting for that already. 0: as many as the "
            "operating system's limit of open files leaves room for; a part of it is kept for the data "
            "folder, and what comes on top is closed as soon as it is accepted.",
        ),
    ] = 0

    log_level: Annotated[
        str,
        Row(
            LOGGING,
            CHOICE,
            "How much is written to the log, which is on standard error: everything from this level up.",
            choices=("debug", "info", "warning", "error"),
        ),
    ] = "info"
    log_file: Annotated[
        str,
        Row(
            LOGGING,
            FILE,
            "A file for the log instead of standard error. It is made if it is missing, and opened anew when "
            "it was moved or removed, as logrotate does it.",
        ),
    ] = ""

    def __post_init__(self) -> None:
        for option in OPTIONS:
            option.check(getattr(self, option.field), source=option.field)
        try:
            names = {product: release(self.profile, product) for product in PRODUCTS}
        except ValueError as error:
            raise ConfigError(f"profile: {error}") from None
        profile = PROFILES[names["rabbitmq"]]
        if not self.message_size_max:
            object.__setattr__(self, "message_size_max", profile.message_size_max)
        if not self.frame_min:
            object.__setattr__(self, "frame_min", min(profile.frame_min, self.frame_max))
        if self.frame_min > self.frame_max:
            raise ConfigError(
                f"frame_min ({self.frame_min}) must not be larger than frame_max ({self.frame_max})"
            )
        for certificate, key in TLS_PAIRS:
            if bool(getattr(self, certificate)) != bool(getattr(self, key)):
                raise ConfigError(f"{certificate} and {key} are given together or not at all")
        if self.tls_client_certificate != "none" and not self.tls_authorities:
            asked = self.tls_client_certificate
            raise ConfigError(f'tls_client_certificate "{asked}" needs tls_authorities to check against')
        for table in TABLES:
            table.check(self, bool(self.tls_certificate))
        protocols = {each.protocol for each in self.listeners} - {AUTO}
        if unknown := set(self.auto_protocols) - protocols:
            known = ", ".join(sorted(protocols))
            raise ConfigError(f"auto_protocols must be of {known}, not {', '.join(sorted(unknown))}")
        if not any(each.is_open(bool(self.tls_certificate)) for each in self.listeners):
            raise ConfigError("there is no port for clients: port is off, and so is the one with TLS")
        for field in ("configure", "write", "read"):
            pattern = getattr(self, f"default_permissions_{field}")
            try:
                re.compile(pattern)
            except re.error as error:
                text = f'must be a regular expression, not "{pattern}" ({error})'
                raise ConfigError(f"default_permissions_{field} {text}") from None
        if unknown := set(self.auth_mechanisms) - set(AUTH_MECHANISMS):
            raise ConfigError(
                f"auth_mechanisms must be of {', '.join(AUTH_MECHANISMS)}, not {', '.join(sorted(unknown))}"
            )
        logins.check(self)
        if "oauth2" in self.auth_backends:
            oauth.check(self)
        sni_files(self.tls_sni)
        for field in ("data", "load_definitions", "log_file", *TLS_FILES):
            if path := getattr(self, field):
                object.__setattr__(self, field, at_home(field, path))

    @property
    def listeners(self) -> list[Endpoint]:
        """Where clients may connect, each protocol with TLS and without; not all are open."""
        others = (each for table in TABLES for each in table.listeners(self))
        shared = plain_and_tls(AUTO, self.auto_port, self.auto_tls_port)
        return [*plain_and_tls("amqp", self.port, self.tls_port), *others, *shared]

    def __repr__(self) -> str:
        shown = (
            f"{option.field}={'***' if option.row.secret else repr(getattr(self, option.field))}"
            for option in OPTIONS
            if getattr(self, option.field) != getattr(DEFAULTS, option.field)
        )
        return f"<Config {' '.join(shown) or 'all defaults'}>"


def sni_files(entries: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Certificates and keys by the names that clients ask for, from `NAME=CERTIFICATE:KEY`."""
    found: dict[str, tuple[str, str]] = {}
    for entry in entries:
        name, _, pair = entry.partition("=")
        certificate, _, key = pair.partition(":")
        if not (name and certificate and key):
            raise ConfigError(f'tls_sni must be NAME=CERTIFICATE:KEY, not "{entry}"')
        found[name] = (at_home("tls_sni", certificate), at_home("tls_sni", key))
    return found


def at_home(field: str, path: str) -> str:
    """The path with a home folder for the `~` that it begins with. Raises ConfigError if there is none, but
    for the usual data folder: whoever has said nothing of data may need none."""
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        if path == DATA_FOLDER:
            return path
        raise ConfigError(f'{field}: there is no home folder for "{path}": say it without ~') from None


class Option(NamedTuple):
    """One row of the table, with the names under which users meet it."""

    field: str
    """The attribute of `Config`: the name with its unit."""
    name: str
    """The key in TOML."""
    default: Any
    row: Row

    @property
    def env(self) -> tuple[str, ...]:
        """Environment variables, the stronger one first."""
        own = ENV_PREFIX + self.name.upper()
        return (own, self.row.env_also) if self.row.env_also else (own,)

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def default_text(self) -> str:
        return "as the profile" if self.row.by_profile else self.row.kind.show(self.default) or "none"

    @property
    def expected(self) -> str:
        """What a value must be, as the end of a sentence."""
        row, kind = self.row, self.row.kind
        if row.choices:
            return f"{kind.expected} {', '.join(row.choices)}" if len(row.choices) > 1 else row.choices[0]
        if kind is PORT:
            return kind.expected
        limits = ""
        if row.maximum != UNLIMITED:
            limits = f" from {kind.show(row.minimum)} to {kind.show(row.maximum)}"
        elif row.minimum:
            limits = f" of at least {kind.show(row.minimum)}"
        return f"{kind.expected}{limits}{f' (such as {kind.examples})' if kind.examples else ''}"

    def check(self, value: object, *, source: str, written: object = None) -> None:
        """Raise ConfigError unless the value is within the row's limits."""
        row = self.row
        if row.kind is CHOICES:
            good = isinstance(value, str) and set(value.split(",")) <= set(row.choices)
        elif row.choices:
            good = value in row.choices
        elif isinstance(value, int | float) and not isinstance(value, bool):
            good = isinstance(value, int | type(self.default)) and row.minimum <= value <= row.maximum
            good = good or (row.by_profile and value == 0)
        else:
            good = isinstance(value, type(self.default)) and (value != "" or self.default == "")
        if not good:
            raise self.error(source, value if written is None else written)

    def error(self, source: str, written: object) -> ConfigError:
        found = "the value given" if self.row.secret else f'"{written}"'
        return ConfigError(f"{source} must be {self.expected}, not {found}")

    def read(self, written: object, *, source: str) -> Any:
        """Return the value of what stands in a file, a variable or a flag. Raises ConfigError."""
        kind = self.row.kind
        try:
            native = msgspec.convert(written, kind.toml_type)
            value = kind.parse(native) if isinstance(native, str) else native
        except (msgspec.ValidationError, ValueError):
            raise self.error(source, written) from None
        value = tuple(value) if isinstance(value, list) else value
        self.check(value, source=source, written=written)
        return value


def _options() -> tuple[Option, ...]:
    # The annotations of the tables are real objects, not strings: see the absence of the future import.
    rows: dict[str, Any] = {}
    for table in reversed(Config.__mro__):
        rows |= vars(table).get("__annotations__", {})
    found = []
    for field in fields(Config):
        row = cast(Row, get_args(rows[field.name])[1])
        found.append(Option(field.name, field.name.removesuffix("_s"), field.default, row))
    return tuple(sorted(found, key=lambda option: SECTIONS.index(option.row.section)))


OPTIONS: tuple[Option, ...] = _options()
BY_NAME: dict[str, Option] = {option.name: option for option in OPTIONS}
DEFAULTS = Config()
