"""Consumers."""

from __future__ import annotations

from typing import Any

from tests.compare_events.case import Case
from tests.transcripts.registry import scenario


def _ignore(*said: Any) -> None:
    """What comes is of no interest."""


@scenario("R75")
def begun_and_ended_by_clients(case: Case) -> None:
    channel = case.channel()
    channel.queue_declare("q")
    case.pass_over()
    channel.basic_consume("q", _ignore, consumer_tag="plain")
    case.told("begun")
    channel.basic_qos(prefetch_count=7)
    arguments = {"x-priority": 3}
    channel.basic_consume("q", _ignore, auto_ack=True, consumer_tag="more", arguments=arguments)
    case.told("with a prefetch count, a priority and without acknowledgements")
    channel.basic_cancel("plain")
    channel.basic_cancel("more")
    case.told("cancelled")
    channel.basic_consume("q", _ignore, exclusive=True, consumer_tag="alone")
    case.told("exclusive")
    channel.queue_delete("q")
    case.told("its queue deleted", "consumer.deleted")


@scenario("R75")
def ended_with_its_channel(case: Case) -> None:
    channel = case.channel()
    channel.queue_declare("q", auto_delete=True)
    channel.basic_consume("q", _ignore, consumer_tag="t")
    case.pass_over()
    channel.close()
    case.told("channel closed", "queue.deleted")


@scenario("R75")
def ended_with_its_connection(case: Case) -> None:
    channel = case.channel()
    channel.queue_declare("q", exclusive=True)
    channel.basic_consume("q", _ignore, consumer_tag="t")
    case.pass_over()
    channel.connection.close()
    case.told("connection closed", "connection.closed")


@scenario("R75")
def of_other_types_of_queues(case: Case) -> None:
    channel = case.channel()
    channel.basic_qos(prefetch_count=10)
    for kind in ("quorum", "stream"):
        channel.queue_declare(f"q-{kind}", durable=True, arguments={"x-queue-type": kind})
        case.pass_over()
        channel.basic_consume(f"q-{kind}", _ignore, consumer_tag=kind)
        case.told(f"{kind}: begun", "consumer.created")
        channel.basic_cancel(kind)
        case.told(f"{kind}: cancelled", "consumer.deleted")
        channel.queue_delete(f"q-{kind}")
        case.pass_over()


@scenario("R70", "R75")
def of_direct_replies(case: Case) -> None:
    channel = case.channel()
    channel.basic_consume("amq.rabbitmq.reply-to", _ignore, auto_ack=True, consumer_tag="t")
    case.told("begun")
    channel.basic_cancel("t")
    case.told("cancelled")
