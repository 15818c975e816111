"""What operators change is kept, checked and taken back (R15, R90, R97)."""

from __future__ import annotations

from typing import Any

import pytest
from broker_tools import Domain, message

from pillarbox.broker import administration
from pillarbox.broker.auth import Permission
from pillarbox.broker.policy import Policy
from pillarbox.broker.quotas import USER, VHOST
from pillarbox.errors import BrokerError


@pytest.fixture
def domain() -> Domain:
    return Domain()


def restarted(domain: Domain) -> Domain:
    domain.run()
    domain.restart()
    return domain


@pytest.mark.row("R15", "R97")
def test_limits_and_parameters_come_back_after_a_restart(domain: Domain) -> None:
    core = domain.core
    core.quotas.put(VHOST, "/", {"max-queues": 3, "max-connections": -1})
    core.quotas.put(USER, "guest", {"max-channels": 4})
    core.quotas.put(USER, "gone", {"max-channels": 4})
    core.quotas.put(USER, "gone", {})
    administration.put_global_parameter(core, "thing", {"a": [1, None]})
    administration.put_global_parameter(core, "gone", 1)
    administration.remove_global_parameter(core, "gone")
    core = restarted(domain).core
    assert core.quotas.of(VHOST, "/") == {"max-queues": 3, "max-connections": -1}
    assert core.quotas.of(USER, "guest") == {"max-channels": 4}
    assert core.quotas.of(USER, "gone") == {}
    assert core.global_parameters == {"thing": {"a": [1, None]}}


@pytest.mark.row("R15")
@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"foo": 2}, 'Unrecognised terms [{<<"foo">>,2}] in limits'),
        ({"max-queues": "x"}, 'max-queues should be a number, actually was <<"x">>'),
        ({"max-queues": True}, "max-queues should be a number, actually was true"),
    ],
)
def test_wrong_limit_is_refused_in_the_words_of_rabbitmq(
    domain: Domain, values: dict[str, Any], problem: str
) -> None:
    domain.core.quotas.put(VHOST, "/", {"max-queues": 3})
    with pytest.raises(BrokerError) as caught:
        domain.core.quotas.put(VHOST, "/", values)
    assert caught.value.text == f"Validation failed\n\n{problem}\n"
    assert domain.core.quotas.of(VHOST, "/") == {"max-queues": 3}


@pytest.mark.row("R90")
def test_what_a_virtual_host_is_told_of_itself_is_kept(domain: Domain) -> None:
    put = administration.put_vhost
    put(domain.core, "v", description="orders", tags=["a", "b"], default_queue_type="quorum", protected=True)
    put(domain.core, "v", description="all orders")
    vhost = restarted(domain).core.vhosts["v"]
    assert (vhost.description, vhost.tags) == ("all orders", ("a", "b"))
    assert (vhost.default_queue_type, vhost.protected) == ("quorum", True)
    with pytest.raises(BrokerError, match="unsupported queue type 'zzz'"):
        put(domain.core, "v", default_queue_type="zzz")


@pytest.mark.row("R90")
def test_protected_virtual_host_cannot_be_removed(domain: Domain) -> None:
    administration.put_vhost(domain.core, "v", protected=True)
    with pytest.raises(BrokerError, match="protected from deletion"):
        administration.remove_vhost(domain.core, "v")
    administration.put_vhost(domain.core, "v", protected=False)
    assert administration.remove_vhost(domain.core, "v")


@pytest.mark.row("R90")
def test_nothing_of_a_removed_virtual_host_comes_back(domain: Domain) -> None:
    core = domain.core
    kept = dict(core.definitions)
    vhost = administration.put_vhost(core, "v", protected=False)
    core.set_permission(Permission("guest", "v", "", "", ""))
    core.quotas.put(VHOST, "v", {"max-queues": 3})
    queue = vhost.declare_queue(None, "q", durable=True, arguments={"x-max-priority": 3})
    source = vhost.declare_exchange("x", "fanout", durable=True)
    vhost.bind(source, queue, "", {})
    vhost.put_policy(Policy("v", "p", "", {"max-length": 3}))
    vhost.put_policy(Policy("v", "o", "", {"max-length": 3}), operator=True)
    domain.publish([queue], [message(1), message(2, priority=2)])
    domain.run()
    assert administration.remove_vhost(core, "v")
    assert core.definitions == kept
    assert restarted(domain).core.definitions == kept
    assert set(domain.core.vhosts) == {"/"}


@pytest.mark.row("R91")
def test_nothing_of_a_removed_user_comes_back(domain: Domain) -> None:
    core = domain.core
    kept = dict(core.definitions)
    core.add_user("joe", "secret")
    core.set_permission(Permission("joe", "/", "", "", ""))
    core.quotas.put(USER, "joe", {"max-channels": 3})
    assert administration.remove_user(core, "joe")
    assert not administration.remove_user(core, "joe")
    assert restarted(domain).core.definitions == kept
    assert core.users.permissions.keys() == {("guest", "/")}
