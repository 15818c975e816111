"""Jolokia's requests and answers: read, exec, search, list and version, by path or in JSON, one or many.

Whatever is wrong with one request is said in its document; HTTP's status is 200. Source: Jolokia 1.7's
reference, "Jolokia Protocol"; words measured.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any, Final

from pillarbox.errors import BrokerError
from pillarbox.ops.activemq import artemis, beans, names
from pillarbox.ops.activemq.attributes import attributes
from pillarbox.ops.activemq.beans import Bean, in_steps
from pillarbox.ops.activemq.calls import operation, operations
from pillarbox.ops.activemq.errors import (
    ILLEGAL_ARGUMENT,
    JMS,
    NO_ATTRIBUTE,
    NO_INSTANCE,
    SECURITY,
    JolokiaError,
)
from pillarbox.ops.activemq.view import View
from pillarbox.ops.management.fields import encode

AGENT: Final = "1.7.1"
PROTOCOL: Final = "7.2"
REQUESTS_MAX: Final = 1_000
"""Of one POST."""
ADMINISTRATOR: Final = "administrator"
LEVELS: Final = 3
"""Of several answers: the list, what each of them has, and the values by their names."""
LONG_ITEMS: Final = 200
"""More than a bean has attributes."""
TOLD_AGAIN: Final = ("mbean", "attribute", "operation", "arguments", "path")
"""Of a request."""

_PART = re.compile(r"(?:[^!/]|![\s\S])+")
_ESCAPED = re.compile(r"!(.)")

Ask = dict[str, Any]


def by_path(path: str) -> Ask:
    """A request that was written as a path, with `/` between its parts; `!/` is none. Raises JolokiaError."""
    kind, *parts = [_ESCAPED.sub(r"\1", part) for part in _PART.findall(path)] or ["version"]
    ask: Ask = {"type": kind}
    if kind in ("read", "exec", "search", "write") and not parts:
        raise JolokiaError(
            400, ILLEGAL_ARGUMENT, f"Invalid arguments in pathinfo {kind} for command {kind.upper()}"
        )
    if kind == "list":
        return ask | ({"path": "/".join(parts)} if parts else {})
    if parts:
        ask["mbean"] = parts[0]
    if kind == "read" and len(parts) > 1:
        several = parts[1].split(",")
        ask["attribute"] = several if len(several) > 1 else parts[1]
    if kind == "exec":
        ask["operation"] = parts[1] if len(parts) > 1 else ""
        ask["arguments"] = [{"[null]": None, '""': ""}.get(part, part) for part in parts[2:]]
    return ask


async def answer(view: View, asked: Any) -> Any:
    """The answer to what a client asks: a document, or a list of them."""
    try:
        if not isinstance(asked, list):
            return await _answer(view, asked)
        if len(asked) > REQUESTS_MAX:
            raise JolokiaError(400, ILLEGAL_ARGUMENT, f"more than {REQUESTS_MAX} requests at once")
        for one in asked:
            _handler(one)
    except JolokiaError as error:
        return error.document
    return [await _answer(view, one) for one in asked]


def rendered(document: Any, levels: int = LEVELS) -> Iterator[bytes]:
    """The JSON of an answer, in steps: at once, a long one would take seconds.

    `levels`: so far down everything is taken apart, below only what is long or has something long in it.
    """
    if not isinstance(document, dict | list) or not (levels > 0 or _is_long(document)):
        yield encode(document)
        return
    is_object = isinstance(document, dict)
    before = b"{" if is_object else b"["
    for name in document:
        yield before + encode(str(name)) + b":" if is_object else before
        yield from rendered(document[name] if is_object else name, levels - 1)
        before = b","
    end = b"}" if is_object else b"]"
    yield end if document else before + end


def _is_long(document: dict[str, Any] | list[Any]) -> bool:
    if len(document) > LONG_ITEMS:
        return True
    values = document.values() if isinstance(document, dict) else document
    return any(isinstance(value, dict | list) and len(value) > LONG_ITEMS for value in values)


async def _answer(view: View, ask: Any) -> dict[str, Any]:
    shown: Ask = {}
    try:
        handler = _handler(ask)
        if "mbean" in ask:
            shown = {"mbean": names.parse(str(ask["mbean"])).canonical}
        # What is asked is told again, but for what does not say anything.
        said = {name: each for name, each in ask.items() if each not in ([], None) and name in TOLD_AGAIN}
        shown = {**said, "type": str(ask["type"]).lower(), **shown}
        value = await handler(view, ask)
    except JolokiaError as error:
        return {"request": shown, **error.document} if shown else error.document
    except BrokerError as error:
        return {"request": shown, **JolokiaError(500, JMS, error.text).document}
    return {"request": shown, "value": value, "timestamp": view.core.changes.now_ms // 1000, "status": 200}


def _handler(ask: Any) -> Callable[[View, Ask], Awaitable[Any]]:
    kind = ask.get("type") if isinstance(ask, dict) else None
    found = KINDS.get(str(kind).lower())
    if found is None:
        raise JolokiaError(400, ILLEGAL_ARGUMENT, f"No type with name '{kind}' exists")
    return found


async def _one(view: View, name: names.BeanName) -> Bean:
    """The bean of a name. Raises JolokiaError if there is none."""
    found = await beans.find_any(view, name)
    if found is None:
        raise JolokiaError(404, NO_INSTANCE, name.plain)
    return found


async def _read(view: View, ask: Ask) -> Any:
    name = names.parse(str(ask.get("mbean", "")))
    wanted = ask.get("attribute")
    if not name.is_pattern:
        return await _values(view, await _one(view, name), wanted)
    several = [wanted] if isinstance(wanted, str) else wanted
    found = {
        each.name.canonical: await _values(view, each, several)
        async for each in beans.paced(view, name.domain)
        if name.takes(each.name)
    }
    if not found:
        raise JolokiaError(404, NO_INSTANCE, name.plain)
    return found


async def _values(view: View, bean: Bean, wanted: Any) -> Any:
    there = attributes(view, bean)

    async def value_of(name: str) -> Any:
        value = there[name]()
        return await in_steps(view, value) if isinstance(value, Generator) else value

    if not wanted:
        return {name: await value_of(name) for name in there}
    if not isinstance(wanted, str | list):
        raise JolokiaError(400, ILLEGAL_ARGUMENT, "attribute must be a name or a list of names")
    if isinstance(wanted, str):
        if wanted not in there:
            raise JolokiaError(404, NO_ATTRIBUTE, f"No such attribute: {wanted}")
        return await value_of(wanted)
    return {name: await value_of(name) for name in map(str, wanted) if name in there}


async def _exec(view: View, ask: Ask) -> Any:
    if ADMINISTRATOR not in view.user.tags:
        raise JolokiaError(403, SECURITY, f"User {view.user.name} is no administrator")
    bean = await _one(view, names.parse(str(ask.get("mbean", ""))))
    arguments = ask.get("arguments") or []
    if not isinstance(arguments, list):
        raise JolokiaError(400, ILLEGAL_ARGUMENT, "arguments must be a list")
    chosen = operation(bean, str(ask.get("operation", "")), arguments)
    return await chosen.call(view, bean, *arguments)


async def _search(view: View, ask: Ask) -> list[str]:
    pattern = ask.get("mbean", "")
    domain, _, rest = str(pattern).partition(":")
    name = names.BeanName(domain, {}, True) if rest == "*" else names.parse(str(pattern))
    return [each.name.canonical async for each in beans.paced(view, domain) if name.takes(each.name)]


def _described(view: View, bean: Bean) -> dict[str, Any]:
    """What can be read of a bean, and what it can be asked to do: the same for all of its kind."""
    below: dict[str, Any] = {}
    for each in operations(bean):
        below.setdefault(each.name, []).append(
            {"args": [{"name": f"p{at}", "type": kind, "desc": ""} for at, kind in enumerate(each.types)]}
        )
    return {
        "attr": {
            name: {"rw": False, "type": "java.lang.Object", "desc": ""} for name in attributes(view, bean)
        },
        "op": {name: each[0] if len(each) == 1 else each for name, each in below.items()},
        "desc": "",
    }


async def _list(view: View, ask: Ask) -> Any:
    """What there is, by domain and name; a path leads into it. Raises JolokiaError."""
    tree: Any = {beans.DOMAIN: {}, artemis.DOMAIN: {}}
    # All of a kind share one: by themselves those of ten thousand queues would take half a gigabyte.
    described: dict[str, Any] = {}
    async for bean in beans.paced(view, "*"):
        if bean.kind not in described:
            described[bean.kind] = _described(view, bean)
        tree[bean.name.domain][bean.name.canonical.partition(":")[2]] = described[bean.kind]
    for step in filter(None, str(ask.get("path") or "").split("/")):
        if "=" in step:
            step = names.parse(f"{beans.DOMAIN}:{step}").canonical.partition(":")[2]
        if not isinstance(tree, dict) or step not in tree:
            raise JolokiaError(404, NO_INSTANCE, step)
        tree = tree[step]
    return tree


async def _version(view: View, ask: Ask) -> dict[str, Any]:
    return {
        "agent": AGENT,
        "protocol": PROTOCOL,
        "config": {"agentContext": "/api/jolokia", "mimeType": "text/plain"},
        "info": {"product": "activemq", "vendor": "Apache", "version": beans.VERSION},
    }


KINDS: Final[dict[str, Callable[[View, Ask], Awaitable[Any]]]] = {
    "read": _read,
    "exec": _exec,
    "search": _search,
    "list": _list,
    "version": _version,
}
