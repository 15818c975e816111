"""What a schema says beside its fields: metadata and rules, checked and put together. Pure functions.

Clients execute rules; here they are kept, handed out and inherited. What is kept of them is a document
without what was not said, the same for all that mean the same. Not here: which of them a schema gets
(`desk`).

Source: Confluent, "Data Contracts for Schema Registry".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pillarbox.ops.registry import errors
from pillarbox.ops.registry.errors import refused

Document = dict[str, Any]

VERSION: Final = "confluent:version"
"""The property that has the number of the version, where somebody has asked for it once."""
NAME_LENGTH_MAX: Final = 256
"""Of a rule: the registry's."""
NAME: Final = re.compile(r"[^\W\d][\w-]*")
DOMAIN: Final = ("WRITE", "READ", "WRITEREAD")
MIGRATION: Final = ("UPGRADE", "DOWNGRADE", "UPDOWN")
BOTH_WAYS: Final = ("WRITEREAD", "UPDOWN")
"""Modes with an action for either way."""
KINDS: Final = ("TRANSFORM", "CONDITION")
MODES_OF: Final = {"migrationRules": MIGRATION, "domainRules": DOMAIN, "encodingRules": DOMAIN}


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is said of a schema: tags by path, properties, and which of those are secret."""

    tags: dict[str, list[str]] | None = None
    properties: dict[str, str] | None = None
    sensitive: list[str] | None = None


class Rule(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A rule. `kind`, `mode`: words of the tables above."""

    name: str | None = None
    doc: str | None = None
    kind: str | None = None
    mode: str | None = None
    type: str | None = None
    tags: list[str] | None = None
    params: dict[str, str] | None = None
    expr: str | None = None
    on_success: str | None = None
    on_failure: str | None = None
    disabled: bool = False


class RuleSet(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The rules of a schema."""

    migration_rules: list[Rule] | None = None
    domain_rules: list[Rule] | None = None
    encoding_rules: list[Rule] | None = None
    enable_at: str | None = None


def metadata_document(given: Metadata | None) -> Document | None:
    """Metadata as it is kept."""
    if given is None:
        return None
    tags = {path: sorted(set(tags)) for path, tags in sorted((given.tags or {}).items())}
    properties = dict(sorted((given.properties or {}).items()))
    sensitive = sorted(set(given.sensitive or ()))
    return _filled({"tags": tags, "properties": properties, "sensitive": sensitive})


def _filled(document: Document) -> Document:
    return {word: value for word, value in document.items() if value not in (None, {}, [])}


def rules_document(given: RuleSet | None) -> Document | None:
    """Rules as they are kept. Raises 42210."""
    if given is None:
        return None
    found = _filled(msgspec.to_builtins(given))
    names: set[str] = set()
    for word, modes in MODES_OF.items():
        for rule in found.get(word, ()):
            _demand_rule(rule, modes, names)
        found |= {word: [_rule_document(rule) for rule in found[word]]} if word in found else {}
    return found


def _rule_document(rule: Document) -> Document:
    tags = sorted(set(rule.get("tags") or ()))
    params = dict(sorted((rule.get("params") or {}).items()))
    return _filled(rule | {"tags": tags, "params": params, "disabled": rule.get("disabled", False)})


def _demand_rule(rule: Document, modes: tuple[str, ...], names: set[str]) -> None:
    name, mode = rule.get("name", ""), rule.get("mode")
    if not NAME.fullmatch(name) or len(name) > NAME_LENGTH_MAX:
        text = "a rule's name is made of letters, digits, _ and -, and begins with a letter or _"
        raise refused(errors.INVALID_RULES, f"{text}: {name[:NAME_LENGTH_MAX]!r}")
    if name in names:
        raise refused(errors.INVALID_RULES, f"Found rule with duplicate name '{name}'")
    names.add(name)
    if not rule.get("type"):
        raise refused(errors.INVALID_RULES, f"rule '{name}' has no type")
    if mode not in modes:
        raise refused(errors.INVALID_RULES, f"rule '{name}': its mode can be {', '.join(modes)}")
    if rule.get("kind") not in (None, *KINDS):
        raise refused(errors.INVALID_RULES, f"rule '{name}': its kind can be {' or '.join(KINDS)}")
    if mode not in BOTH_WAYS and any("," in rule.get(word, "") for word in ("onSuccess", "onFailure")):
        raise refused(errors.INVALID_RULES, f"rule '{name}': two actions need {' or '.join(BOTH_WAYS)}")


def merged_metadata(under: Document | None, over: Document | None) -> Document | None:
    """Both; what is in both is as `over` has it."""
    if not under or not over:
        return over or (over if under is None else under)
    found = under | over
    for word in ("tags", "properties"):
        if under.get(word) and over.get(word):
            found[word] = dict(sorted((under[word] | over[word]).items()))
    if under.get("sensitive") and over.get("sensitive"):
        found["sensitive"] = sorted({*under["sensitive"], *over["sensitive"]})
    return found


def merged_rules(under: Document | None, over: Document | None) -> Document | None:
    """Both; of two with one name the rule of `over`, and those of `over` last."""
    if not under or not over:
        return over or (over if under is None else under)
    found = under | over
    for word in MODES_OF:
        if under.get(word) and over.get(word):
            names = {rule["name"] for rule in over[word]}
            found[word] = [rule for rule in under[word] if rule.get("name") not in names] + over[word]
    return found


def with_version(metadata: Document | None, number: int) -> Document:
    """The same, saying which version it is of."""
    found = metadata or {}
    properties = {**(found.get("properties") or {}), VERSION: str(number)}
    return found | {"properties": dict(sorted(properties.items()))}


def has_version(metadata: Document | None) -> bool:
    """Does it say which version it is of?"""
    return VERSION in properties_of(metadata)


def without_version(metadata: Document | None) -> Document | None:
    """The same, not saying which version it is of."""
    if metadata is None or not has_version(metadata):
        return metadata
    left = {name: value for name, value in properties_of(metadata).items() if name != VERSION}
    return {word: value for word, value in metadata.items() if word != "properties"} | (
        {"properties": left} if left else {}
    )


def properties_of(metadata: Document | None) -> Mapping[str, str]:
    """The properties in it, none if there are none."""
    return (metadata or {}).get("properties") or {}
