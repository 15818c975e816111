"""The brokers of a comparison, each as a process on free ports of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.messaging_peers import ActiveMQ, Mosquitto
from bench.peers import Pillarbox, RabbitMQ, free_ports
from tests.compare_messaging.artemis_peer import Artemis

JARS = tuple(Path(f"/usr/share/java/{name}.jar") for name in ("xstream", "jettison"))
"""Debian's libxstream-java and libjettison-java."""


@dataclass(frozen=True)
class Target:
    """A running broker as clients see it."""

    name: str
    port: int
    printed: Callable[[], str] = str


@contextlib.contextmanager
def mosquitto() -> Iterator[Target]:
    """Run Debian's Mosquitto."""
    with Mosquitto() as peer:
        yield Target(f"{peer.name} {peer.version}", peer.port)


@contextlib.contextmanager
def rabbitmq_stomp() -> Iterator[Target]:
    """Run Debian's RabbitMQ with its STOMP plugin."""
    with RabbitMQ(plugins=("rabbitmq_stomp",)) as peer:
        yield Target(f"{peer.name} {peer.version}", peer.ports["rabbitmq_stomp"])


@contextlib.contextmanager
def activemq() -> Iterator[Target]:
    """Run Debian's ActiveMQ Classic, with what it needs to write advisories as JSON."""
    with ActiveMQ() as peer:
        yield Target(f"{peer.name} {peer.version}", peer.port)


RULES = """
<destinationPolicy><policyMap><policyEntries>
  <policyEntry topic="last.&gt;"><subscriptionRecoveryPolicy>
    <lastImageSubscriptionRecoveryPolicy/></subscriptionRecoveryPolicy></policyEntry>
  <policyEntry topic="count.&gt;"><subscriptionRecoveryPolicy>
    <fixedCountSubscriptionRecoveryPolicy maximumSize="2"/></subscriptionRecoveryPolicy></policyEntry>
  <policyEntry topic="timed.&gt;"><subscriptionRecoveryPolicy>
    <timedSubscriptionRecoveryPolicy recoverDuration="60000"/></subscriptionRecoveryPolicy></policyEntry>
  <policyEntry topic="sized.&gt;"><subscriptionRecoveryPolicy>
    <fixedSizedSubscriptionRecoveryPolicy maximumSize="10000"/></subscriptionRecoveryPolicy></policyEntry>
  <policyEntry topic="told.&gt;" alwaysRetroactive="true"><subscriptionRecoveryPolicy>
    <fixedCountSubscriptionRecoveryPolicy maximumSize="2"/></subscriptionRecoveryPolicy></policyEntry>
</policyEntries></policyMap></destinationPolicy>
<destinationInterceptors>
  <mirroredQueue prefix="Mirror."/>
  <virtualDestinationInterceptor><virtualDestinations>
    <virtualTopic name="VirtualTopic.&gt;" prefix="Consumer.*." selectorAware="true"/>
    <compositeQueue name="comp.only">
      <forwardTo><queue physicalName="comp.a"/><topic physicalName="comp.b"/></forwardTo></compositeQueue>
    <compositeQueue name="comp.both" forwardOnly="false"><forwardTo><queue physicalName="comp.a"/>
      <filteredDestination selector="kind = 'big'" queue="comp.big"/></forwardTo></compositeQueue>
    <compositeTopic name="comp.topic"><forwardTo><queue physicalName="comp.a"/>
      <filteredDestination selector="kind = 'big'" topic="comp.b"/></forwardTo></compositeTopic>
    <compositeTopic name="comp.topic.both" forwardOnly="false">
      <forwardTo><queue physicalName="comp.a"/></forwardTo></compositeTopic>
    <compositeQueue name="comp.wild.&gt;">
      <forwardTo><queue physicalName="comp.a"/></forwardTo></compositeQueue>
  </virtualDestinations></virtualDestinationInterceptor>
</destinationInterceptors>
"""
"""Rules for destinations, as ActiveMQ is told them."""

OWN_RULES = {
    "PILLARBOX_STOMP_DIALECT": "activemq",
    "PILLARBOX_STOMP_COMPOSITE_DESTINATIONS": "; ".join(
        (
            "/queue/comp.only = /queue/comp.a, /topic/comp.b",
            "/queue/comp.both += /queue/comp.a, /queue/comp.big [kind = 'big']",
            "/topic/comp.topic = /queue/comp.a, topic://comp.b [kind = 'big']",
            "/topic/comp.topic.both += /queue/comp.a",
            "/queue/comp.wild.> = /queue/comp.a",
        )
    ),
    "PILLARBOX_STOMP_VIRTUAL_TOPICS_SELECT": "true",
    "PILLARBOX_STOMP_TOPICS_KEEP": "; ".join(
        (
            "/topic/last.> = last",
            "/topic/count.> = 2",
            "/topic/timed.> = 60s",
            # Of a message it counts 150 bytes beside what it says, and ActiveMQ 1024.
            "/topic/sized.> = 8kB",
            "/topic/told.> = 2 always",
        )
    ),
    "PILLARBOX_STOMP_MIRRORED_QUEUES": "Mirror.",
}
"""The same, as Pillarbox is told them."""


@contextlib.contextmanager
def activemq_rules() -> Iterator[Target]:
    """Run Debian's ActiveMQ Classic with `RULES`."""
    with ActiveMQ(configuration=RULES) as peer:
        yield Target(f"{peer.name} {peer.version}", peer.port)


WATCHED = """
<destinationPolicy><policyMap><policyEntries>
  <policyEntry queue="&gt;" memoryLimit="40kb" {all}>
    <pendingQueuePolicy><vmQueueCursor/></pendingQueuePolicy></policyEntry>
  <policyEntry topic="&gt;" {all}><pendingMessageLimitStrategy>
    <constantPendingMessageLimitStrategy limit="5"/></pendingMessageLimitStrategy></policyEntry>
</policyEntries></policyMap></destinationPolicy>
<plugins><statisticsBrokerPlugin/></plugins>
""".format(
    all=" ".join(
        f'{name}="true"'
        for name in (
            "advisoryForConsumed",
            "advisoryForDelivery",
            "advisoryForDiscardingMessages",
            "advisoryForFastProducers",
            "advisoryForSlowConsumers",
            "advisoryWhenFull",
            "sendAdvisoryIfNoConsumers",
        )
    )
)
"""ActiveMQ with its statistics and all advisories."""

OWN_WATCHED = {
    "PILLARBOX_STOMP_DIALECT": "activemq",
    "PILLARBOX_STOMP_STATISTICS": "true",
    "PILLARBOX_STOMP_ADVISORIES": "MessageConsumed, MessageDelivered, MessageDiscarded, FastProducer, "
    "SlowConsumer, FULL, NoConsumer",
    "PILLARBOX_STOMP_DESTINATION_LIMIT": "40000",
    "PILLARBOX_STOMP_PENDING_MESSAGE_LIMIT": "5",
    "PILLARBOX_STOMP_SLOW_AFTER": "1",
}
"""The same, as Pillarbox is told it. Dispatched messages are told by later releases of ActiveMQ only."""


@contextlib.contextmanager
def activemq_watched() -> Iterator[Target]:
    """Run Debian's ActiveMQ Classic with `WATCHED`."""
    with ActiveMQ(configuration=WATCHED, use_jmx=True) as peer:
        yield Target(f"{peer.name} {peer.version}", peer.port)


POLICIES = """
<destinationPolicy><policyMap><policyEntries>
  <policyEntry topic="plain.&gt;"><pendingMessageLimitStrategy>
    <constantPendingMessageLimitStrategy limit="2"/></pendingMessageLimitStrategy></policyEntry>
  <policyEntry topic="ranked.&gt;"><messageEvictionStrategy>
    <oldestMessageWithLowestPriorityEvictionStrategy/></messageEvictionStrategy><pendingMessageLimitStrategy>
    <constantPendingMessageLimitStrategy limit="2"/></pendingMessageLimitStrategy></policyEntry>
  <policyEntry topic="prices.&gt;"><messageEvictionStrategy>
    <uniquePropertyMessageEvictionStrategy propertyName="symbol"/></messageEvictionStrategy>
    <pendingMessageLimitStrategy>
    <constantPendingMessageLimitStrategy limit="2"/></pendingMessageLimitStrategy></policyEntry>
  <policyEntry queue="full.block" memoryLimit="50000"><pendingQueuePolicy>
    <vmQueueCursor/></pendingQueuePolicy></policyEntry>
</policyEntries></policyMap></destinationPolicy>
"""
"""Policies of destinations, as ActiveMQ is told them."""

OWN_POLICIES = {
    "PILLARBOX_STOMP_DIALECT": "activemq",
    "PILLARBOX_STOMP_PENDING_MESSAGE_LIMIT": "2",
    "PILLARBOX_STOMP_DESTINATION_POLICIES": "; ".join(
        (
            "/topic/ranked.> = evict lowest-priority",
            "/topic/prices.> = evict superseded symbol",
            "/queue/full.block = limit 50000",
        )
    ),
}
"""The same, as Pillarbox is told them."""


@contextlib.contextmanager
def activemq_policies() -> Iterator[Target]:
    """Run Debian's ActiveMQ Classic with `POLICIES`."""
    with ActiveMQ(configuration=POLICIES) as peer:
        yield Target(f"{peer.name} {peer.version}", peer.port)


@contextlib.contextmanager
def artemis() -> Iterator[Target]:
    """Run Artemis, from Maven."""
    with Artemis() as peer:
        yield Target(f"{peer.name} {peer.version}", peer.port)


PROTOCOLS: dict[str, tuple[str, dict[str, str]]] = {
    "mqtt": ("PILLARBOX_MQTT_PORT", {}),
    "stomp": ("PILLARBOX_STOMP_PORT", {}),
    "stomp-activemq": ("PILLARBOX_STOMP_PORT", {"PILLARBOX_STOMP_DIALECT": "activemq"}),
    "stomp-activemq-rules": ("PILLARBOX_STOMP_PORT", OWN_RULES),
    "stomp-activemq-watched": ("PILLARBOX_STOMP_PORT", OWN_WATCHED),
    "stomp-activemq-policies": ("PILLARBOX_STOMP_PORT", OWN_POLICIES),
    "stomp-artemis": (
        "PILLARBOX_STOMP_PORT",
        {"PILLARBOX_PROFILE": "activemq:artemis", "PILLARBOX_STOMP_TOPICS_KEEP": "/topic/retro.> = 2"},
    ),
}
"""What Pillarbox is told for a file of scenarios: where the port goes, and what else."""


@contextlib.contextmanager
def pillarbox(protocol: str) -> Iterator[Target]:
    """Run `pillarbox serve` on a data folder, with a port for this protocol."""
    (port,) = free_ports(1)
    variable, more = PROTOCOLS[protocol]
    env = {variable: str(port), **more}
    with Pillarbox(options=["--port", "off"], env=env) as peer:
        yield Target(f"Pillarbox {peer.version}", port, peer.printed)


PEERS: dict[str, Callable[[], AbstractContextManager[Target]]] = {
    "mosquitto": mosquitto,
    "rabbitmq": rabbitmq_stomp,
    "activemq": activemq,
    "activemq-rules": activemq_rules,
    "activemq-watched": activemq_watched,
    "activemq-policies": activemq_policies,
    "artemis": artemis,
}
"""By the name that a file of scenarios gives."""
