"""Exchanges, queues, bindings: made and removed by clients, over HTTP and by themselves."""

from __future__ import annotations

from tests.compare_events.case import Case
from tests.transcripts.registry import scenario


@scenario("R75")
def exchanges_of_clients(case: Case) -> None:
    channel = case.channel()
    for kind in ("direct", "fanout", "topic", "headers"):
        channel.exchange_declare(f"e-{kind}", kind)
    case.told("of each type")
    channel.exchange_declare("e-all", "topic", durable=True, auto_delete=True, internal=True)
    case.told("with everything")
    channel.exchange_declare("e-all", "topic", durable=True, auto_delete=True, internal=True)
    channel.exchange_declare("e-all", passive=True)
    case.told("declared again")
    channel.exchange_declare(
        "e-alternate", "fanout", arguments={"alternate-exchange": "e-fanout", "x-any": 7}
    )
    case.told("with arguments")
    for name in ("e-direct", "e-fanout", "e-topic", "e-headers", "e-all", "e-alternate", "missing"):
        channel.exchange_delete(name)
    case.told("deleted")


@scenario("R75")
def queues_of_clients(case: Case) -> None:
    channel = case.channel()
    channel.queue_declare("q-plain")
    channel.queue_declare("q-durable", durable=True)
    channel.queue_declare("q-own", exclusive=True)
    channel.queue_declare("q-auto", auto_delete=True)
    case.told("declared")
    channel.queue_declare("q-plain")
    channel.queue_declare("q-plain", passive=True)
    case.told("declared again")
    arguments = {
        "x-max-length": 5, "x-large": 1 << 40, "x-overflow": "reject-publish", "x-any": [1, "a", {"b": True}],
 "x-table": {"a": -1},
    }  # fmt: skip
    channel.queue_declare("q-arguments", arguments=arguments)
    case.told("with arguments")
    name = channel.queue_declare("", exclusive=True).method.queue
    case.hide(name, "GENERATED")
    case.told("named by the broker")
    channel.basic_publish("", "q-plain", b"x")
    channel.queue_purge("q-plain")
    case.told("purged")
    for queue in ("q-plain", "q-durable", "q-own", "q-auto", "q-arguments", name, "missing"):
        channel.queue_delete(queue)
    case.told("deleted")


@scenario("R75")
def queues_of_other_types(case: Case) -> None:
    channel = case.channel()
    for kind in ("classic", "quorum", "stream"):
        channel.queue_declare(f"q-{kind}", durable=True, arguments={"x-queue-type": kind})
        case.told(f"{kind} queue declared", "queue.created")
    for kind in ("classic", "quorum", "stream"):
        channel.queue_delete(f"q-{kind}")
        case.told(f"{kind} queue deleted", "queue.deleted")


@scenario("R75")
def bindings_of_clients(case: Case) -> None:
    channel = case.channel()
    channel.exchange_declare("e", "topic")
    channel.exchange_declare("f", "fanout")
    channel.queue_declare("q")
    case.pass_over()
    channel.queue_bind("q", "e", "a.*", {"k": 1, "l": "x"})
    channel.queue_bind("q", "e", "b")
    channel.exchange_bind("f", "e", "c")
    case.told("bound")
    channel.queue_bind("q", "e", "b")
    case.told("bound again")
    channel.queue_unbind("q", "e", "a.*", {"k": 1, "l": "x"})
    channel.exchange_unbind("f", "e", "c")
    channel.queue_unbind("q", "e", "missing")
    case.told("unbound")
    channel.queue_bind("q", "f", "d")
    case.pass_over()
    channel.exchange_delete("f")
    case.told("an exchange deleted with a binding")
    channel.queue_delete("q")
    case.told("a queue deleted with a binding")
    channel.exchange_delete("e")
    case.pass_over()


@scenario("R75")
def what_goes_by_itself(case: Case) -> None:
    channel = case.channel()
    channel.queue_declare("q-expires", arguments={"x-expires": 600})
    case.pass_over("queue.created")
    case.told("expired", "queue.deleted")
    channel.queue_declare("q-auto", auto_delete=True)
    channel.exchange_declare("e-auto", "fanout", auto_delete=True)
    channel.queue_bind("q-auto", "e-auto", "")
    tag = channel.basic_consume("q-auto", lambda *said: None, consumer_tag="t")
    case.pass_over()
    channel.basic_cancel(tag)
    case.told("queue and exchange of themselves", "exchange.deleted")
    channel.queue_declare("q")
    channel.exchange_declare("e-auto", "fanout", auto_delete=True)
    channel.queue_bind("q", "e-auto", "")
    case.pass_over()
    channel.queue_unbind("q", "e-auto", "")
    case.told("an exchange with its last binding")
    channel.queue_delete("q")
    case.pass_over()
    channel.queue_declare("q-own", exclusive=True)
    case.pass_over()
    channel.connection.close()
    case.told("an exclusive queue with its connection", "queue.deleted")


@scenario("R75")
def topology_over_http(case: Case) -> None:
    exchange = {"type": "topic", "durable": True, "arguments": {"x-any": 1}}
    case.http("PUT", "exchanges", "/", "e", body=exchange)
    case.http("PUT", "queues", "/", "q", body={"durable": True, "arguments": {"x-max-length": 5}})
    case.told("declared", "queue.created")
    case.http("POST", "bindings", "/", "e", "e", "q", "q", body={"routing_key": "k", "arguments": {}})
    body = {"routing_key": "k", "arguments": {"a": 1}}
    case.http("POST", "bindings", "/", "e", "e", "e", "amq.fanout", body=body)
    case.told("bound", "binding.created")
    case.http("DELETE", "bindings", "/", "e", "e", "q", "q", "k")
    case.told("unbound", "binding.deleted")
    case.http("DELETE", "queues", "/", "q")
    case.told("queue deleted", "queue.deleted")
    case.http("DELETE", "exchanges", "/", "e")
    case.told("exchange deleted", "exchange.deleted")


@scenario("R75")
def messages_over_http(case: Case) -> None:
    channel = case.channel()
    channel.queue_declare("q")
    case.pass_over()
    message = {"routing_key": "q", "properties": {}, "payload": "x", "payload_encoding": "string"}
    case.http("POST", "exchanges", "/", "amq.default", "publish", body=message)
    how = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}
    case.http("POST", "queues", "/", "q", "get", body=how)
    case.http("DELETE", "queues", "/", "q", "contents")
    case.told("published, got and purged")
    channel.queue_delete("q")
    case.pass_over()
