"""Names of subjects and of the contexts that they are in. Pure functions.

A context keeps subjects and ids of its own. Inside, its name is what stands before that of a subject:
`:.sales:orders` is `orders` in `:.sales:`, and `orders` alone is in the default context, which is empty. The
name of a context alone stands for what is set for all of it. Clients write a context as `.sales`, `sales` or
`:.sales:`, and the default one as `.` or `:.:` as well.

Source: Confluent, "Schema Registry API Reference", "Contexts"; "Qualified subjects".
"""

from __future__ import annotations

from typing import Final

DEFAULT_CONTEXT: Final = ""
EVERYWHERE: Final = ":.__GLOBAL:"
"""The context that has no subjects: what is set for it holds in all contexts that say nothing else."""
EVERY_CONTEXT: Final = ":*:"
"""Before a prefix of names: in whatever context."""
BEGIN: Final = ":."
RESERVED: Final = ("__GLOBAL", "__EMPTY")


def context(word: str) -> str:
    """The context that somebody calls so. Raises ValueError."""
    bare = word.removeprefix(":").removesuffix(":")
    if ":" in bare or not bare.isprintable():
        raise ValueError(f"Context name '{bare}' cannot contain a colon")
    bare = bare.removeprefix(".")
    return f"{BEGIN}{bare}:" if bare else DEFAULT_CONTEXT


def shown(inside: str) -> str:
    """A context as it is listed."""
    return inside.strip(":") or "."


def split(subject: str) -> tuple[str, str]:
    """The context of a subject, and its name there."""
    if not subject.startswith(BEGIN):
        return DEFAULT_CONTEXT, subject
    before, colon, name = subject[1:].partition(":")
    return (f":{before}:", name) if colon else (DEFAULT_CONTEXT, subject)


def qualified(name: str, inside: str) -> str:
    """The subject that is called so in a context; a name may say itself which context it is in."""
    if not name.startswith(BEGIN):
        return inside + name
    return name.removeprefix(":.:")


def is_subject(subject: str, *, may_be_context: bool = False) -> bool:
    """Can there be such a subject; or settings for such a context?"""
    where, name = split(subject)
    if name.startswith((BEGIN, EVERY_CONTEXT)) or name in RESERVED or not name.isprintable():
        return False
    if not may_be_context and (not name or where == EVERYWHERE):
        return False
    return where == DEFAULT_CONTEXT or (where.isprintable() and len(where) > len(":.:"))


def matches(subject: str, prefix: str) -> bool:
    """Does a subject begin with the prefix, in the context that the prefix names?"""
    where, name = split(subject)
    if prefix.startswith(EVERY_CONTEXT):
        return name.startswith(prefix.removeprefix(EVERY_CONTEXT))
    wanted, begin = split(qualified(prefix, DEFAULT_CONTEXT))
    return where == wanted and name.startswith(begin)
