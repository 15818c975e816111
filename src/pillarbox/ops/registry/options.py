"""What an operator may set of the schema registry: a table, which `pillarbox.config` collects.

Not here: what the options do (`application`).
"""

from dataclasses import dataclass
from typing import Annotated, Final

from pillarbox.config_rows import Row, port_row
from pillarbox.config_values import CHOICE, NAME, OFF

SECTION: Final = "Schema registry"

LEVELS: Final = (
    "NONE",
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
)
"""What may be demanded of a new schema of a subject."""


@dataclass(frozen=True, kw_only=True, init=False, eq=False, repr=False)
class RegistryOptions:
    """A row each."""

    schema_registry_port: Annotated[
        int,
        port_row(
            SECTION,
            "The TCP port of a schema registry for clients of Confluent's, usually 8081; it needs the extra "
            "`registry`, and is not served unless there is one.",
        ),
    ] = OFF
    schema_registry_tls_port: Annotated[
        int,
        port_row(
            SECTION,
            "The TCP port of the schema registry over HTTPS; it is opened when a `tls_certificate` is given.",
        ),
    ] = OFF
    schema_registry_anonymous_user: Annotated[
        str,
        Row(
            SECTION,
            NAME,
            "The user as whom clients of the schema registry act that do not log in; `none`: all have to. "
            "Who may connect from this machine only (`loopback_users`) may do so here as well.",
        ),
    ] = "guest"
    schema_registry_compatibility: Annotated[
        str,
        Row(
            SECTION,
            CHOICE,
            "What is demanded of a new schema where nobody has set a level, by `PUT /config` or for its "
            "subject (the registry's `schema.compatibility.level`).",
            choices=LEVELS,
        ),
    ] = "BACKWARD"
