"""The HTTP ports: management and metrics, each without TLS and with it, ActiveMQ's, the schema registry."""

from __future__ import annotations

from typing import NamedTuple

from pillarbox.config import Config
from pillarbox.config_values import OFF


class OperatorPort(NamedTuple):
    """A port with something for operators: `management`, `prometheus`, `activemq` or `registry`; without a
    certificate, no TLS."""

    kind: str
    port: int
    certificate: str
    key: str
    tls: bool
    for_clients: bool = False
    """It listens where clients connect, wherever operators do."""

    @property
    def is_open(self) -> bool:
        return self.port != OFF and (bool(self.certificate) or not self.tls)


def operator_ports(config: Config) -> tuple[OperatorPort, ...]:
    """Management, metrics and the schema registry without TLS and with it; ActiveMQ's API."""
    return (
        OperatorPort("management", config.management_port, "", "", False),
        OperatorPort("prometheus", config.prometheus_port, "", "", False),
        OperatorPort(
            "management",
            config.management_tls_port,
            config.management_tls_certificate,
            config.management_tls_key,
            True,
        ),
        OperatorPort(
            "prometheus",
            config.prometheus_tls_port,
            config.prometheus_tls_certificate,
            config.prometheus_tls_key,
            True,
        ),
        OperatorPort("activemq", config.activemq_http_port, "", "", False),
        OperatorPort("registry", config.schema_registry_port, "", "", False, for_clients=True),
        OperatorPort(
            "registry",
            config.schema_registry_tls_port,
            config.tls_certificate,
            config.tls_key,
            True,
            for_clients=True,
        ),
    )
