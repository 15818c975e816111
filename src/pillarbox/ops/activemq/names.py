"""Names of management beans: a domain, and keys with values; a `*` in them makes a pattern.

A value may be quoted, with anything in it, as Artemis does. Source: the rules of
`javax.management.ObjectName`; how ActiveMQ writes names of destinations in it, its `JMXSupport`.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from pillarbox.ops.activemq.errors import ILLEGAL_ARGUMENT, JolokiaError

ENCODED: Final = str.maketrans({**dict.fromkeys(":,'\"\n", "_"), "?": "&qe;", "=": "&amp;", "*": "&ast;"})
_PART: Final = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^,"])+', re.DOTALL)
"""What stands between two commas."""


def encoded(text: str) -> str:
    """Any text as a value within a name."""
    return text.translate(ENCODED)


class BeanName(NamedTuple):
    """A name or a pattern. `others`: a pattern that takes names with further keys."""

    domain: str
    keys: dict[str, str]
    others: bool = False

    @property
    def canonical(self) -> str:
        """With its keys in order."""
        parts = [f"{key}={value}" for key, value in sorted(self.keys.items())]
        return f"{self.domain}:{','.join([*parts, '*'] if self.others else parts)}"

    @property
    def plain(self) -> str:
        """As it was written."""
        return f"{self.domain}:{','.join(f'{key}={value}' for key, value in self.keys.items())}"

    @property
    def is_pattern(self) -> bool:
        return self.others or "*" in self.domain or any("*" in value for value in self.keys.values())

    def takes(self, name: BeanName) -> bool:
        """Is a name one of those that the pattern means?"""
        if not fnmatchcase(name.domain, self.domain) or (not self.others and name.keys.keys() - self.keys):
            return False
        return all(
            key in name.keys and fnmatchcase(name.keys[key], value) for key, value in self.keys.items()
        )


def parse(text: str) -> BeanName:
    """Raises JolokiaError."""
    domain, colon, rest = text.partition(":")
    if not colon or not rest:
        raise JolokiaError(400, ILLEGAL_ARGUMENT, "Invalid object name. Key properties cannot be empty")
    keys: dict[str, str] = {}
    others = False
    parts = _PART.findall(rest)
    if ",".join(parts) != rest:
        raise JolokiaError(400, ILLEGAL_ARGUMENT, f"Invalid object name. {rest}")
    for part in parts:
        key, equals, value = part.partition("=")
        if part == "*":
            others = True
        elif not (key and equals and value):
            raise JolokiaError(400, ILLEGAL_ARGUMENT, f"Invalid object name. Invalid key property: {part}")
        else:
            keys[key] = value
    return BeanName(domain, keys, others)
