"""What the registry refuses, with its codes and texts: a row each.

The first three digits of a code are the HTTP status. Source: Confluent, "Schema Registry API Reference",
"Errors".
"""

from __future__ import annotations

from typing import Any


class RegistryError(Exception):
    """An answer that refuses."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def status(self) -> int:
        return int(str(self.code)[:3])

    @property
    def document(self) -> dict[str, Any]:
        return {"error_code": self.code, "message": str(self)}


SUBJECT_NOT_FOUND = 40401, "Subject '{}' not found."
VERSION_NOT_FOUND = 40402, "Version {} not found."
SCHEMA_NOT_FOUND = 40403, "Schema not found"
ID_NOT_FOUND = 40403, "Schema {} not found"
SUBJECT_SOFT_DELETED = 40404, "Subject '{}' was soft deleted.Set permanent=true to delete permanently"
SUBJECT_NOT_SOFT_DELETED = 40405, "Subject '{}' was not deleted first before being permanently deleted"
VERSION_SOFT_DELETED = (
    40406,
    "Subject '{}' Version {} was soft deleted.Set permanent=true to delete permanently",
)
VERSION_NOT_SOFT_DELETED = (
    40407,
    "Subject '{}' Version {} was not deleted first before being permanently deleted",
)
NO_SUBJECT_LEVEL = 40408, "Subject '{}' does not have subject-level compatibility configured"
NO_SUBJECT_MODE = 40409, "Subject '{}' does not have subject-level mode configured"
INCOMPATIBLE = (
    409,
    'Schema being registered is incompatible with an earlier schema for subject "{}", details: [{}]',
)
INVALID_SCHEMA = 42201, "Invalid schema: {}"
INVALID_VERSION = (
    42202,
    "The specified version '{}' is not a valid version id. Allowed values are between [1, 2^31-1] and the "
    'string "latest"',
)
INVALID_LEVEL = (
    42203,
    "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, "
    "forward_transitive, and full_transitive",
)
INVALID_MODE = 42204, "Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE, and IMPORT"
NOT_PERMITTED = 42205, "{}"
REFERENCE_EXISTS = 42206, "One or more references exist to the schema of subject '{}' version {}"
ID_DOES_NOT_MATCH = 42207, "Schema already registered with id {} instead of input id {}"
INVALID_SUBJECT = 42208, "The specified subject '{}' is not a valid subject"
TOO_LARGE = 42209, "A schema may have {} bytes"
INVALID_RULES = 42210, "Invalid rule set: {}"
CONTEXT_NOT_EMPTY = 42211, "The specified context '{}' is not empty."
BAD_BODY = 422, "{}"
NO_STORAGE = 50001, "{}"


def refused(row: tuple[int, str], *values: object) -> RegistryError:
    """The error of a row."""
    code, text = row
    return RegistryError(code, text.format(*values))
