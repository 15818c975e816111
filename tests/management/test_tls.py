"""TLS on the ports for operators, beside the ones without or in their place (R110, R125)."""

from __future__ import annotations

import shutil
import socket
import ssl
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from bench.peers import make_certificate
from pillarbox import Broker
from pillarbox.config import Config, ConfigError
from pillarbox.config_values import OFF
from tests.management.http import basic

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="no openssl command to make certificates with"
)
TIMEOUT_S = 30
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def options(pair: tuple[Path, Path]) -> dict[str, Any]:
    certificate, key = map(str, pair)
    return {
        f"{kind}_{name}": value
        for kind in ("management", "prometheus")
        for name, value in {
            "port": OFF,
            "tls_port": 0,
            "tls_certificate": certificate,
            "tls_key": key,
        }.items()
    }


def ask(port: int, certificate: Path, path: str) -> tuple[int, bytes]:
    trusted = ssl.create_default_context(cafile=str(certificate))
    connection = HTTPSConnection(HOST, port, timeout=TIMEOUT_S, context=trusted)
    try:
        connection.request("GET", path, headers={"Authorization": basic("guest", "guest")})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def ports(broker: Broker) -> tuple[int, int]:
    found = broker.call(lambda server: server.operator_addresses)
    return found["management-tls"][0][1], found["prometheus-tls"][0][1]


@pytest.mark.row("R110", "R125")
def test_api_page_and_metrics_are_served_over_tls_alone(pair: tuple[Path, Path]) -> None:
    with Broker(**options(pair)) as broker:
        management, prometheus = ports(broker)
        assert not broker.call(lambda server: {"management", "prometheus"} & set(server.operator_addresses))
        status, document = ask(management, pair[0], "/api/overview")
        assert status == 200
        assert b'"protocol":"https"' in document
        assert b'"protocol":"https/prometheus"' in document
        assert ask(management, pair[0], "/")[0] == 200
        status, text = ask(prometheus, pair[0], "/metrics")
        assert (status, b"rabbitmq_build_info" in text) == (200, True)


@pytest.mark.row("R117")
def test_certificates_of_these_ports_are_looked_at_by_the_health_check(pair: tuple[Path, Path]) -> None:
    with Broker(**options(pair)) as broker:
        management, _ = ports(broker)
        path = "/api/health/checks/certificate-expiration"
        assert ask(management, pair[0], f"{path}/1/days")[0] == 200
        status, text = ask(management, pair[0], f"{path}/60/days")
        assert (status, text.count(str(pair[0]).encode())) == (503, 2)


@pytest.mark.row("R117")
def test_certificate_that_is_gone_since_the_start_counts_as_over(pair: tuple[Path, Path]) -> None:
    kept = pair[0].read_bytes()
    with Broker(**options(pair)) as broker:
        management, _ = ports(broker)
        path = "/api/health/checks/certificate-expiration/1/days"
        trusted = pair[0].with_name("trusted.pem")
        trusted.write_bytes(kept)
        for change in (lambda: pair[0].write_text("no certificate"), pair[0].unlink):
            change()
            try:
                status, text = ask(management, trusted, path)
            finally:
                pair[0].write_bytes(kept)
            assert (status, text.count(b'"days_left":-1')) == (503, 2)


@pytest.mark.row("R110")
def test_bytes_without_tls_are_cut_and_the_next_one_is_served(pair: tuple[Path, Path]) -> None:
    with Broker(**options(pair)) as broker:
        management, _ = ports(broker)
        with socket.create_connection((HOST, management), timeout=TIMEOUT_S) as plain:
            plain.sendall(b"GET /api/overview HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            try:
                while data := plain.recv(1000):
                    received += data
            except ConnectionError:
                pass
            assert b"HTTP" not in received
        assert ask(management, pair[0], "/api/overview")[0] == 200


@pytest.mark.row("R110")
@pytest.mark.parametrize("kind", ["management", "prometheus"])
def test_certificate_without_a_key_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"{kind}_tls_certificate and {kind}_tls_key are given together"):
        Config(**{f"{kind}_tls_certificate": "c.pem"})
