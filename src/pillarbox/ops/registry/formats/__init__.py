"""The formats of schemas: what each makes of a text, and what it finds between two schemas. A row each.

A format's module has `parse(text, references)`, `tree(text, references)` and `differences(reader, writer)`,
and may have `rendered(text, references, wanted)`. It imports the library that it needs, so it is itself
imported when the first schema of its kind comes, in a thread. Pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from pillarbox.errors import StartupError


class InvalidSchema(Exception):
    """A text that is no schema of its format, and why."""


class Parsed(NamedTuple):
    """A schema."""

    text: str
    """As it is kept and handed out: as it came, without needless space."""
    normalized: str
    """The same where nothing depends on who has written it down."""
    identity: bytes
    """Equal for schemas that are the same."""
    tree: Any
    """What the format compares."""


class Known(NamedTuple):
    """A schema that another one refers to, under the name that the other one has for it."""

    name: str
    text: str


class Format(NamedTuple):
    """A format: its module in this package, and a module of what that needs."""

    module: str
    needs: str

    def parse(self, text: str, references: Sequence[Known] = ()) -> Parsed:
        """What the text says. `references`: whatever it refers to, each after what it refers to itself.

        Raises InvalidSchema.
        """
        try:
            found: Parsed = self._module().parse(text, references)
        except RecursionError:
            raise InvalidSchema("it is nested too deeply") from None
        return found

    def tree(self, text: str, references: Sequence[Known]) -> Any:
        """The tree of a text that `parse` has taken before. Raises InvalidSchema all the same."""
        try:
            return self._module().tree(text, references)
        except RecursionError:
            raise InvalidSchema("it is nested too deeply") from None

    def differences(self, reader: Any, writer: Any) -> list[str]:
        """Why who reads by the one tree may fail on what was written by the other; none: it never does."""
        try:
            found: list[str] = self._module().differences(reader, writer)
        except RecursionError:
            return ["the schemas are nested too deeply to be compared"]
        return found

    def rendered(self, text: str, references: Sequence[Known], wanted: str) -> str:
        """The text in the form of this name, where the format has such a one; otherwise as it is.

        Raises InvalidSchema.
        """
        module = self._module()
        if not hasattr(module, "rendered"):
            return text
        found: str = module.rendered(text, references, wanted)
        return found

    def _module(self) -> Any:
        return import_module(f"{__name__}.{self.module}")


FORMATS: Final = {
    "AVRO": Format("avro_schema", "avro"),
    "JSON": Format("json_schema", "jsonschema"),
    "PROTOBUF": Format("protobuf", "google.protobuf"),
}
DEFAULT: Final = "AVRO"


def demand_libraries() -> None:
    """Raise StartupError where what the formats need is not installed."""
    for one in FORMATS.values():
        try:
            found = find_spec(one.needs)
        except ModuleNotFoundError:
            found = None
        if found is None:
            text = f"schema_registry_port needs {one.needs}: pip install 'pillarbox[registry]'"
            raise StartupError(text)
