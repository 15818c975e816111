"""What a compatibility level demands of a new schema, and of which earlier ones. Pure functions.

BACKWARD: who reads by the new schema can read what was written by the last one; FORWARD: the other way
round; FULL: both; TRANSITIVE: of all versions and not of the last one alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from pillarbox.ops.registry.formats import FORMATS, InvalidSchema, Known, Parsed
from pillarbox.ops.registry.options import LEVELS


class Demand(NamedTuple):
    """What a level demands."""

    backward: bool
    forward: bool
    transitive: bool


DEMANDS: Final = {
    level: Demand(
        backward=level.startswith(("BACKWARD", "FULL")),
        forward=level.startswith(("FORWARD", "FULL")),
        transitive=level.endswith("_TRANSITIVE"),
    )
    for level in LEVELS
}

DIFFERENCES_MAX: Final = 20
"""Differences that an answer names."""


class Text(NamedTuple):
    """A schema that is not parsed."""

    kind: str
    text: str
    references: Sequence[Known] = ()
    shown: str = ""
    """What a difference says of it."""

    def parse(self) -> Parsed:
        """Raises InvalidSchema."""
        return FORMATS[self.kind].parse(self.text, self.references)


def differences(new: Text, parsed: Parsed, earlier: Sequence[Text], demand: Demand) -> list[str]:
    """What keeps a new schema from meeting the demand, against all of these earlier ones; the last first."""
    found: list[str] = []
    for old in reversed(earlier):
        found += _between(new, parsed, old, demand)
        if found:
            break
    return found[:DIFFERENCES_MAX]


def _between(new: Text, parsed: Parsed, old: Text, demand: Demand) -> list[str]:
    if not (demand.backward or demand.forward):
        return []
    if old.kind != new.kind:
        return [f"{old.shown} is of type {old.kind}, the new schema of type {new.kind}"]
    one = FORMATS[new.kind]
    try:
        tree = one.tree(old.text, old.references)
    except InvalidSchema as error:
        return [f"{old.shown} cannot be read any more: {error}"]
    found = []
    if demand.backward:
        found += [
            f"the new schema cannot read data of {old.shown}: {each}"
            for each in one.differences(parsed.tree, tree)
        ]
    if demand.forward:
        found += [
            f"{old.shown} cannot read data of the new schema: {each}"
            for each in one.differences(tree, parsed.tree)
        ]
    return found
