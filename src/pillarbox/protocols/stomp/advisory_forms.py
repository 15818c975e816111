"""What advisories look like: ActiveMQ's data structures, as its JSON has them (A38).

A row for each kind of thing that is told. A subscription may have them in XML: see `transforming`. Not here:
what happens, and who is told (`broker.advisories`). Source: ActiveMQ 5.17.2 asked with
`tests/compare_messaging/scenarios/advisories_on_activemq.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pillarbox.broker.advisories import BROKER, DEAD_LETTERS
from pillarbox.broker.arguments import EXCLUSIVE, SELECTOR
from pillarbox.broker.dialects import Neutral
from pillarbox.broker.jms_destinations import kind_of, kind_of_topic
from pillarbox.engine.base import NO_EXPIRATION, Message
from pillarbox.protocols.stomp.headers import ADVISORY as TYPE
from pillarbox.protocols.stomp.headers import KIND
from pillarbox.protocols.stomp.transforming import ADVISORY, TRANSFORMATION

if TYPE_CHECKING:
    from pillarbox.broker.advisories import Advisories
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.session import Session

ADDED, REMOVED = 0, 1
"""ActiveMQ's numbers for what has become of a destination."""
NOTHING_DELIVERED: Final = -2
"""ActiveMQ's word for the last message of a consumer or connection that nobody asks about."""

Structure = dict[str, Any]


def write(who: Advisories, form: str, about: tuple[Any, ...]) -> bytes:
    """The body of an advisory: a row of `FORMS`, about these things."""
    return msgspec.json.encode(FORMS[form](who, *about))


def said(who: Advisories, headers: Mapping[str, Any]) -> Neutral:
    """What is said of it beside."""
    return Neutral(
        headers={
            **headers,
            "originBrokerId": who.broker_id,
            "originBrokerName": BROKER,
            "originBrokerURL": f"vm://{BROKER}",
            TRANSFORMATION: "jms-advisory-json",
            KIND: ADVISORY,
        },
        type=TYPE,
        priority=0,
    )


# --- connections ---------------------------------------------------------------------------------------


def _connection(who: Advisories, session: Session) -> Structure:
    assert session.head is not None, "who is introduced has a head"
    own, facts = who.id_of(session.head), session.head.client_facts()
    return {
        "ConnectionInfo": {
            **_command(answered=True),
            "connectionId": {"value": own},
            "clientId": who.client_id(session) or own,
            "clientIp": f"tcp://{facts.peer_host}:{facts.peer_port}",
            "userName": session.user.name,
            "password": "",
            "brokerMasterConnector": False,
            "manageable": False,
            "clientMaster": True,
            "faultTolerant": False,
            "failoverReconnect": False,
        }
    }


def _connection_gone(who: Advisories, client: object) -> Structure:
    return _removal({"@class": "ConnectionId", "value": who.id_of(client)})


def _of_session(who: Advisories, session: Any) -> Structure:
    head = getattr(session, "head", None)
    return {} if head is None else {"connectionId": {"value": who.id_of(head)}}


def _command(*, answered: bool) -> Structure:
    return {"commandId": 0, "responseRequired": answered}


def _removal(of: Structure) -> Structure:
    told = {"objectId": of, "lastDeliveredSequenceId": NOTHING_DELIVERED}
    return {"RemoveInfo": {**_command(answered=True), **told}}


# --- destinations --------------------------------------------------------------------------------------


def _queue(operation: int) -> Callable[[Advisories, Queue], Structure]:
    def told(who: Advisories, queue: Queue) -> Structure:
        destination = _destination(f"ActiveMQ{kind_of(queue)}", queue.name)
        return _destination_info(_of_session(who, queue.owner), destination, operation)

    return told


def _topic(operation: int) -> Callable[[Advisories, str, Session | None], Structure]:
    def told(who: Advisories, topic: str, owner: Session | None) -> Structure:
        destination = _destination(f"ActiveMQ{kind_of_topic(owner)}", topic)
        return _destination_info(_of_session(who, owner), destination, operation)

    return told


def _destination(kind: str, name: str) -> Structure:
    """As ActiveMQ's JSON has a destination: a text, and nothing where its options would be."""
    if name == DEAD_LETTERS:
        return {"@class": kind, "string": name, "map": [{"entry": {"string": ["isDLQ", True]}}]}
    return {"@class": kind, "string": name, "null": ""}


def _destination_info(of: Structure, destination: Structure, operation: int) -> Structure:
    told = {**of, "destination": destination, "operationType": operation, "timeout": 0}
    return {"DestinationInfo": {**_command(answered=False), **told}}


# --- consumers -----------------------------------------------------------------------------------------


def _consumer_id(who: Advisories, consumer: Consumer, number: int) -> Structure:
    return {"connectionId": who.names_of(consumer)[1], "sessionId": -1, "value": number}


def _consumer(who: Advisories, consumer: Consumer, number: int, topic: str) -> Structure:
    """`topic`: its name, or that of its queue."""
    queue = consumer.queue
    is_topic = topic != queue.name
    kind = "ActiveMQTopic" if is_topic else f"ActiveMQ{kind_of(queue)}"
    selector = consumer.arguments.get(SELECTOR)
    wanted = {"selector": f"convert_string_expressions:{selector}"} if selector else {}
    return {
        "ConsumerInfo": {
            **_command(answered=True),
            "consumerId": _consumer_id(who, consumer, number),
            "destination": _destination(kind, topic),
            "prefetchSize": consumer.prefetch,
            "maximumPendingMessageLimit": 0,
            "browser": False,
            "dispatchAsync": True,
            **wanted,
            **({"subscriptionName": queue.name} if is_topic and queue.durable else {}),
            "noLocal": False,
            "exclusive": bool(consumer.arguments.get(EXCLUSIVE)),
            "retroactive": False,
            "priority": consumer.priority,
            "optimizedAcknowledge": False,
            "noRangeAcks": False,
        }
    }


def _consumer_gone(who: Advisories, consumer: Consumer, number: int) -> Structure:
    return _removal({"@class": "ConsumerId"} | _consumer_id(who, consumer, number))


def _producer(who: Advisories, session: Session) -> Structure:
    own = {"connectionId": who.id_of(session.head), "sessionId": -1, "value": 1}
    sent = sum(channel.counters.publish for channel in session.channels)
    told = {"producerId": own, "dispatchAsync": False, "windowSize": 0, "sentCount": sent}
    return {"ProducerInfo": {**_command(answered=True), **told}}


# --- messages ------------------------------------------------------------------------------------------


def _message(who: Advisories, kind: str, name: str, message: Message, said: Neutral) -> Structure:
    """A message without its body, as ActiveMQ's default has it. `kind`, `name`: of its destination."""
    expires = message.accepted_ms + message.expiration_ms if message.expiration_ms != NO_EXPIRATION else 0
    told = {
        **_command(answered=False),
        **({"messageId": {"textView": said.message_id}} if said.message_id else {}),
        "destination": _destination(f"ActiveMQ{kind}", name),
        "expiration": expires,
        "timestamp": message.accepted_ms,
        "arrival": 0,
        "brokerInTime": message.accepted_ms,
        "brokerOutTime": 0,
        **({"correlationId": said.correlation_id} if isinstance(said.correlation_id, str) else {}),
        "persistent": message.persistent,
        **({"type": said.type} if said.type else {}),
        "priority": 4 if said.priority is None else said.priority,
        "groupSequence": 0,
        "compressed": False,
        "redeliveryCounter": 0,
        "size": len(message.body) + len(message.properties),
        "readOnlyProperties": True,
        "readOnlyBody": False,
        "droppable": False,
        "jmsXGroupFirstForConsumer": False,
    }
    return {"ActiveMQTextMessage": told}


def _nothing(who: Advisories) -> Structure:
    return {"null": ""}


FORMS: Final[dict[str, Callable[..., Structure]]] = {
    "connection": _connection,
    "connection gone": _connection_gone,
    "queue": _queue(ADDED),
    "queue gone": _queue(REMOVED),
    "topic": _topic(ADDED),
    "topic gone": _topic(REMOVED),
    "consumer": _consumer,
    "consumer gone": _consumer_gone,
    "producer": _producer,
    "message": _message,
    "nothing": _nothing,
}
"""By the name that `broker.advisories` has for it; each gets the things that it is about."""
