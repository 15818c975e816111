"""Runtime parameters: what operators set by component, virtual host and name (R97).

A component is a row of `Parameters.components`: how one of its parameters is set and removed, and which there
are. Limits and operator policies have homes of their own and are rows beside; the parameters of a component
that somebody has asked to `keep` are kept here, as they were given, and told to whoever asked. What is kept
stays, and is exported, also while nobody asks for it.

Not here: who may set them, what any of them means. Source: RabbitMQ, "Parameters and Policies"; texts
measured on 3.10.8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.broker import definitions as kept
from pillarbox.broker.policy import policy_of
from pillarbox.broker.quotas import VHOST

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.core import Core
    from pillarbox.broker.vhost import VHost

LIMITS = "limits"
"""The one name that the limits of a virtual host have as a parameter."""

Check = Callable[["VHost", str, Any, "Principal | None"], None]
"""(virtual host, name, value, who sets it if that is known): raises PRECONDITION_FAILED for a wrong one."""
Told = Callable[[str, str, Any], None]
"""(virtual host, name, value), the value None when the parameter is gone."""


class Component(NamedTuple):
    """One row."""

    put: Callable[[VHost, str, Any, Principal | None], None]
    remove: Callable[[VHost, str], None]
    items: Callable[[VHost], Iterator[tuple[str, Any]]]
    """Names and values."""


class Parameters:
    """All parameters of one broker."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._values: dict[tuple[str, str, str], Any] = {}
        """By virtual host, component and name."""
        self._told: dict[str, Told] = {}
        self.components: dict[str, Component] = {
            "vhost-limits": Component(
                lambda vhost, name, value, user: core.quotas.put(VHOST, vhost.name, dict(value)),
                lambda vhost, name: core.quotas.forget(VHOST, vhost.name),
                self._limits,
            ),
            "operator_policy": Component(
                lambda vhost, name, value, user: vhost.put_policy(
                    policy_of(vhost.name, name, value), operator=True
                ),
                lambda vhost, name: _nothing(vhost.remove_policy(name, operator=True)),
                _operator_policies,
            ),
        }

    def __repr__(self) -> str:
        return f"<Parameters kept={len(self._values)} components={', '.join(self.components)}>"

    def keep(self, component: str, check: Check, told: Told) -> None:
        """Have parameters of this component kept; `told` hears of every one that is set or removed later."""

        def put(vhost: VHost, name: str, value: Any, user: Principal | None) -> None:
            check(vhost, name, value, user)
            self._core.demand_storage()
            self._values[vhost.name, component, name] = value
            definition = kept.ParameterDefinition(vhost.name, component, name, value)
            self._core.define("parameter", kept.key_of(vhost.name, component, name), definition)
            told(vhost.name, name, value)

        self._told[component] = told
        self.components[component] = Component(
            put,
            lambda vhost, name: self._forget(vhost.name, component, name),
            lambda vhost: (
                (name, value)
                for (owner, kind, name), value in list(self._values.items())
                if owner == vhost.name and kind == component
            ),
        )

    def of(self, component: str) -> Iterator[tuple[str, str, Any]]:
        """Virtual host, name and value of each that is kept."""
        for (vhost, kind, name), value in list(self._values.items()):
            if kind == component:
                yield vhost, name, value

    def items(self, vhost: VHost) -> Iterator[tuple[str, str, Any]]:
        """Component, name and value of all that a virtual host has."""
        for component, row in self.components.items():
            for name, value in row.items(vhost):
                yield component, name, value
        for (owner, component, name), value in list(self._values.items()):
            if owner == vhost.name and component not in self.components:
                yield component, name, value

    def remove(self, vhost: VHost, component: str, name: str) -> bool:
        """Remove one; False: there is none."""
        if not any((component, name) == each[:2] for each in self.items(vhost)):
            return False
        row = self.components.get(component)
        if row is None:
            self._forget(vhost.name, component, name)
        else:
            row.remove(vhost, name)
        return True

    def forget(self, vhost: str) -> None:
        """A virtual host is gone, and what was kept of it with it."""
        for owner, component, name in list(self._values):
            if owner == vhost:
                self._forget(owner, component, name)

    def restore(self, definition: kept.ParameterDefinition) -> None:
        """Take over one that was kept. Nobody is told: whoever is interested looks (`of`)."""
        self._values[definition.vhost, definition.component, definition.name] = definition.value

    def _forget(self, vhost: str, component: str, name: str) -> None:
        del self._values[vhost, component, name]
        self._core.undefine("parameter", kept.key_of(vhost, component, name))
        if component in self._told:
            self._told[component](vhost, name, None)

    def _limits(self, vhost: VHost) -> Iterator[tuple[str, Any]]:
        limits = self._core.quotas.of(VHOST, vhost.name)
        if limits:
            yield LIMITS, limits


def _operator_policies(vhost: VHost) -> Iterator[tuple[str, Any]]:
    for policy in vhost.operator_policies:
        value = policy.described()
        yield value.pop("name"), value


def _nothing(value: object) -> None:
    """Whether there was one is known already."""
