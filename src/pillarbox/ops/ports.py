"""The HTTP ports: management and metrics, each without TLS and with it, ActiveMQ's, the schema registry."""

from __future__ import annotations

from typing import NamedTuple

from pillarbox.config import Config
from pillarbox.config_values import OFF


class OperatorPort(NamedTuple):
    """A port with something for operators: `management`, `prometheus`, `activemq` or `registry`; without a
    certificate, no TLS."""

    kind: str
    name: str
    """As the startup line has it."""
    shown: str
    """What RabbitMQ's management API calls its protocol."""
    port: int
    tls: bool = False
    certificate: str = ""
    key: str = ""
    for_clients: bool = False
    """It listens where clients connect, wherever operators do."""

    @property
    def is_open(self) -> bool:
        return self.port != OFF and (bool(self.certificate) or not self.tls)


def operator_ports(config: Config) -> tuple[OperatorPort, ...]:
    """Management, metrics and the schema registry without TLS and with it; ActiveMQ's API."""
    management = (config.management_tls_certificate, config.management_tls_key)
    prometheus = (config.prometheus_tls_certificate, config.prometheus_tls_key)
    clients = (config.tls_certificate, config.tls_key)
    return (
        OperatorPort("management", "management", "http", config.management_port),
        OperatorPort("management", "management-tls", "https", config.management_tls_port, True, *management),
        OperatorPort("prometheus", "prometheus", "http/prometheus", config.prometheus_port),
        OperatorPort(
            "prometheus", "prometheus-tls", "https/prometheus", config.prometheus_tls_port, True, *prometheus
        ),
        OperatorPort("activemq", "activemq-http", "http/activemq", config.activemq_http_port),
        OperatorPort(
            "registry",
            "schema-registry",
            "http/schema-registry",
            config.schema_registry_port,
            for_clients=True,
        ),
        OperatorPort(
            "registry",
            "schema-registry-tls",
            "https/schema-registry",
            config.schema_registry_tls_port,
            True,
            *clients,
            for_clients=True,
        ),
    )
