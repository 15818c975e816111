"""Runtime parameters: kept for whoever asks, told to them, and gone with their virtual host (R97)."""

from __future__ import annotations

from typing import Any

import pytest
from broker_tools import Domain

from pillarbox.broker import administration
from pillarbox.broker.export_definitions import export_definitions
from pillarbox.broker.import_definitions import import_definitions
from pillarbox.broker.quotas import VHOST
from pillarbox.errors import BrokerError, Reason

pytestmark = pytest.mark.row("R97")

VALUE = {"list": [1, None, {"deep": True}], "text": "x", "fraction": 1.5}


class Listener:
    """Somebody who has parameters of a component kept: "wrong" is refused."""

    def __init__(self, domain: Domain, component: str = "thing") -> None:
        self.told: list[tuple[str, str, Any]] = []
        self.parameters = domain.core.parameters
        self.parameters.keep(component, self.check, lambda *what: self.told.append(what))

    def check(self, vhost: object, name: str, value: Any, user: object) -> None:
        if value == "wrong":
            raise BrokerError(Reason.PRECONDITION_FAILED, "Validation failed\n\nit is wrong\n")


@pytest.fixture
def domain() -> Domain:
    return Domain()


def put(domain: Domain, name: str, value: Any, component: str = "thing", vhost: str = "/") -> None:
    domain.core.parameters.components[component].put(domain.core.vhosts[vhost], name, value, None)


def items(domain: Domain, vhost: str = "/") -> list[tuple[str, str, Any]]:
    return list(domain.core.parameters.items(domain.core.vhosts[vhost]))


def test_parameter_is_told_when_it_is_set_and_removed(domain: Domain) -> None:
    listener = Listener(domain)
    put(domain, "a", VALUE)
    put(domain, "a", 2)
    with pytest.raises(BrokerError, match="it is wrong"):
        put(domain, "a", "wrong")
    assert items(domain) == [("thing", "a", 2)]
    assert listener.parameters.remove(domain.core.vhosts["/"], "thing", "a")
    assert not listener.parameters.remove(domain.core.vhosts["/"], "thing", "a")
    assert not listener.parameters.remove(domain.core.vhosts["/"], "nothing", "a")
    assert listener.told == [("/", "a", VALUE), ("/", "a", 2), ("/", "a", None)]
    assert items(domain) == []


def test_parameters_come_back_after_a_restart_for_whoever_asks_then(domain: Domain) -> None:
    Listener(domain)
    put(domain, "a", VALUE)
    put(domain, "b", 2)
    domain.core.parameters.remove(domain.core.vhosts["/"], "thing", "b")
    domain.run()
    domain.restart()
    listener = Listener(domain)
    assert list(listener.parameters.of("thing")) == [("/", "a", VALUE)]
    assert listener.told == []


def test_parameters_stay_while_nobody_asks_for_them(domain: Domain) -> None:
    """They can be seen, exported and removed, and not be set."""
    Listener(domain)
    put(domain, "a", VALUE)
    domain.run()
    domain.restart()
    assert "thing" not in domain.core.parameters.components
    assert items(domain) == [("thing", "a", VALUE)]
    parameter = {"vhost": "/", "component": "thing", "name": "a", "value": VALUE}
    assert export_definitions(domain.core, "")["parameters"] == [parameter]
    assert domain.core.parameters.remove(domain.core.vhosts["/"], "thing", "a")
    assert items(domain) == []


def test_parameters_go_with_their_virtual_host(domain: Domain) -> None:
    domain.core.add_vhost("v")
    listener = Listener(domain)
    put(domain, "a", 1)
    put(domain, "a", 2, vhost="v")
    administration.remove_vhost(domain.core, "v")
    domain.run()
    assert listener.told == [("/", "a", 1), ("v", "a", 2), ("v", "a", None)]
    domain.core.add_vhost("v")
    assert items(domain, "v") == []
    assert items(domain) == [("thing", "a", 1)]


def test_limits_and_operator_policies_are_parameters_too(domain: Domain) -> None:
    policy = {"pattern": "^q", "definition": {"expires": 5}, "priority": 3, "apply-to": "queues"}
    put(domain, "p", policy, "operator_policy")
    put(domain, "limits", {"max-queues": 3}, "vhost-limits")
    Listener(domain)
    put(domain, "a", 1)
    assert items(domain) == [
        ("vhost-limits", "limits", {"max-queues": 3}),
        ("operator_policy", "p", policy),
        ("thing", "a", 1),
    ]
    assert domain.core.quotas.of(VHOST, "/") == {"max-queues": 3}
    for component, name in (("operator_policy", "p"), ("vhost-limits", "limits")):
        assert domain.core.parameters.remove(domain.core.vhosts["/"], component, name)
    assert items(domain) == [("thing", "a", 1)]
    assert not list(domain.core.vhosts["/"].operator_policies)


def test_parameters_are_imported_as_they_are_exported(domain: Domain) -> None:
    Listener(domain)
    put(domain, "a", VALUE)
    exported = export_definitions(domain.core, "")
    other = Domain()
    listener = Listener(other)
    assert import_definitions(other.core, {"parameters": exported["parameters"]}) == []
    assert listener.told == [("/", "a", VALUE)]
    assert export_definitions(other.core, "")["parameters"] == exported["parameters"]
