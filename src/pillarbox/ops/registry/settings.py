"""What is set for a subject, a context or all: levels, aliases, metadata and rules that schemas get, modes.

Handlers of `/config` and `/mode`. What holds where several places say something: `store.Registry.config`.

Source: Confluent, "Schema Registry API Reference", "Config", "Mode"; "Data Contracts for Schema Registry".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from pillarbox.ops.registry import contract, errors, names
from pillarbox.ops.registry.desk import IMPORT, MODES, Desk
from pillarbox.ops.registry.errors import refused
from pillarbox.ops.registry.options import LEVELS
from pillarbox.ops.registry.request import Asked
from pillarbox.ops.registry.store import GLOBAL, NOTHING_SET, Config


class ConfigBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What can be set; null takes it back. Clients know more, which is refused and not forgotten."""

    compatibility: str | UnsetType | None = UNSET
    compatibility_level: str | UnsetType | None = UNSET
    normalize: bool | UnsetType | None = UNSET
    alias: str | UnsetType | None = UNSET
    compatibility_group: str | UnsetType | None = UNSET
    default_metadata: contract.Metadata | UnsetType | None = UNSET
    override_metadata: contract.Metadata | UnsetType | None = UNSET
    default_rule_set: contract.RuleSet | UnsetType | None = UNSET
    override_rule_set: contract.RuleSet | UnsetType | None = UNSET


class ModeBody(msgspec.Struct, frozen=True):
    mode: str


def _level(given: str | None) -> str | None:
    """Raises 42203."""
    level = None if given is None else given.upper()
    if level not in (None, *LEVELS):
        raise refused(errors.INVALID_LEVEL)
    return level


def _alias(given: str | None) -> str | None:
    """Raises 42208."""
    if given and not names.is_subject(names.qualified(given, GLOBAL)):
        raise refused(errors.INVALID_SUBJECT, given)
    return given or None


FIELDS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "compatibility_level": ("level", _level),
    "compatibility": ("level", _level),
    "normalize": ("normalize", lambda given: given),
    "alias": ("alias", _alias),
    "compatibility_group": ("group", lambda given: given or None),
    "default_metadata": ("default_metadata", contract.metadata_document),
    "override_metadata": ("override_metadata", contract.metadata_document),
    "default_rule_set": ("default_rules", contract.rules_document),
    "override_rule_set": ("override_rules", contract.rules_document),
}
"""What of a body becomes what of a `Config`, by way of what; of two the later one counts."""

SHOWN: Final = {
    "normalize": "normalize",
    "alias": "alias",
    "compatibilityGroup": "group",
    "defaultMetadata": "default_metadata",
    "overrideMetadata": "override_metadata",
    "defaultRuleSet": "default_rules",
    "overrideRuleSet": "override_rules",
}


def _document(config: Config, level_word: str = "compatibilityLevel") -> dict[str, Any]:
    found = {word: getattr(config, name) for word, name in ({level_word: "level"} | SHOWN).items()}
    return {word: value for word, value in found.items() if value is not None}


async def config(desk: Desk, asked: Asked) -> Any:
    registry, where = desk.registry, asked.subject
    if where in (GLOBAL, names.EVERYWHERE) or asked.flag("defaultToGlobal"):
        return _document(registry.config(where))
    if where not in registry.configs:
        raise refused(errors.NO_SUBJECT_LEVEL, where)
    return _document(msgspec.structs.replace(registry.configs[where], level=registry.level(where)))


async def configure(desk: Desk, asked: Asked) -> Any:
    body: ConfigBody = asked.decoded(ConfigBody)
    given = {
        name: made(value)
        for word, (name, made) in FIELDS.items()
        if (value := getattr(body, word)) is not UNSET
    }
    if not given:
        raise refused(errors.INVALID_LEVEL)
    if given.get("alias") and not names.split(asked.subject)[1]:
        raise refused(errors.INVALID_SUBJECT, asked.subject)
    desk.demand_writable(asked.subject)
    desk.core.demand_storage()
    before = desk.registry.configs.get(asked.subject, NOTHING_SET)
    after = msgspec.structs.replace(before, **given)
    desk.registry.configure(asked.subject, after)
    return _document(after, "compatibility")


async def delete_config(desk: Desk, asked: Asked) -> Any:
    registry, where = desk.registry, asked.subject
    before = registry.configs.get(where)
    if before is None and where != GLOBAL:
        raise refused(errors.SUBJECT_NOT_FOUND, where)
    desk.demand_writable(where)
    level = registry.level(where)
    registry.configure(where, None)
    return _document(msgspec.structs.replace(before or NOTHING_SET, level=level))


async def mode(desk: Desk, asked: Asked) -> Any:
    registry, where = desk.registry, asked.subject
    is_told = where in (GLOBAL, names.EVERYWHERE) or where in registry.modes
    if not is_told and not asked.flag("defaultToGlobal"):
        raise refused(errors.NO_SUBJECT_MODE, where)
    return {"mode": registry.mode(where)}


async def set_mode(desk: Desk, asked: Asked) -> Any:
    registry, where = desk.registry, asked.subject
    wanted = asked.decoded(ModeBody).mode.upper()
    if wanted not in MODES:
        raise refused(errors.INVALID_MODE)
    is_new = wanted == IMPORT and registry.mode(where) != IMPORT
    if is_new and not asked.flag("force") and _has_subjects(desk, where):
        raise refused(errors.NOT_PERMITTED, "Cannot import since found existing subjects")
    desk.core.demand_storage()
    registry.set_mode(where, wanted)
    return {"mode": wanted}


def _has_subjects(desk: Desk, where: str) -> bool:
    """Is there a subject of this name, or one in this context?"""
    if where == names.EVERYWHERE:
        return any(desk.registry.listed())
    is_context = not names.split(where)[1]
    return any(desk.registry.listed(where)) if is_context else bool(desk.registry.versions(where))


async def delete_mode(desk: Desk, asked: Asked) -> Any:
    registry, where = desk.registry, asked.subject
    before = registry.modes.get(where)
    if before is None:
        raise refused(errors.NO_SUBJECT_MODE, where)
    registry.set_mode(where, None)
    return {"mode": before}
