"""Where the broker listens, as it is written."""

from __future__ import annotations

import pytest

from pillarbox.config import Config, ConfigError
from pillarbox.endpoints import Endpoint, named


@pytest.mark.row("K40")
def test_a_listener_has_a_name_an_address_and_where_it_is_advertised() -> None:
    found = named(
        "kafka",
        ("inside://127.0.0.1:9092", "OUT+tls://[::]:9094", "any://:0"),
        ("out://[2001:db8::1]:443", "inside://broker:1"),
    )
    assert found == (
        Endpoint("kafka", "kafka-inside", 9092, False, "127.0.0.1", ("broker", 1)),
        Endpoint("kafka", "kafka-out", 9094, True, "::", ("2001:db8::1", 443)),
        Endpoint("kafka", "kafka-any", 0),
    )
    assert [each.shown for each in found] == ["kafka", "kafka/ssl", "kafka"]


@pytest.mark.row("K40")
@pytest.mark.parametrize(
    ("listeners", "advertised", "text"),
    [
        (("9092",), (), 'must be of NAME://HOST:PORT or NAME+tls://HOST:PORT, not "9092"'),
        (("a://h",), (), 'must be of NAME://HOST:PORT or NAME+tls://HOST:PORT, not "a://h"'),
        (("a://h:70000",), (), 'must be of NAME://HOST:PORT or NAME+tls://HOST:PORT, not "a://h:70000"'),
        (("a b://h:1",), (), 'must be of NAME://HOST:PORT or NAME+tls://HOST:PORT, not "a b://h:1"'),
        (("a://h:1", "A://h:2"), (), 'must have different names, not "a" twice'),
        (("a://h:1",), ("b://h:1",), "must have the listeners that are advertised: b"),
        (("a://h:1",), ("a://h",), 'must be HOST:PORT, not "h"'),
        (("a://h:1",), ("a://:0",), 'must be HOST:PORT, not ":0"'),
    ],
)
def test_what_is_no_listener_is_named_at_the_start(
    listeners: tuple[str, ...], advertised: tuple[str, ...], text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(kafka_listeners=listeners, kafka_advertised_listeners=advertised)
    assert str(caught.value) == f"kafka_listeners {text}"


@pytest.mark.row("K40")
def test_a_listener_with_tls_needs_a_certificate() -> None:
    with pytest.raises(ConfigError, match="tls_certificate"):
        Config(kafka_listeners=("a+tls://:1",))


@pytest.mark.row("K40")
def test_a_named_listener_is_a_port_for_clients() -> None:
    Config(port=-1, kafka_listeners=("a://:0",))
    with pytest.raises(ConfigError, match="no port for clients"):
        Config(port=-1)
