"""Schemathesis: whatever the OpenAPI document allows gets an answer that it describes.

No status of 500 or more, no body that breaks the schema: what is wrong is refused in words. A health check
that fails is answered with 503, as in RabbitMQ.
"""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from pillarbox import Broker
from tests.management.http import basic

EXAMPLES = 10
"""Of each operation; there are more than a hundred."""
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]


@pytest.mark.row("R110", "R111", "R115")
@pytest.mark.timeout(600)
def test_every_operation_answers_as_it_is_described() -> None:
    with Broker(management_port=0, kafka_port=0, connection_max=0) as broker:
        schema = schemathesis.openapi.from_url(f"{broker.management_url}/api/openapi.json")
        headers = {"authorization": basic("guest", "guest")}
        operations = [found.ok() for found in schema.get_all_operations()]
        assert len(operations) > 100
        for operation in operations:

            @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy())
            def answers_as_described(case: Case) -> None:
                response = case.call(headers=headers, timeout=30)
                if "/health/" not in case.path or response.status_code != 503:
                    case.validate_response(response, checks=CHECKS)

            answers_as_described()
