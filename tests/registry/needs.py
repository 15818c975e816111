"""What tests of the registry need beside the broker: they are skipped where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def _is_missing(module: str) -> bool:
    try:
        return find_spec(module) is None
    except ModuleNotFoundError:
        return True


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip unless all of them are there."""
    missing = [module for module in modules if _is_missing(module)]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


REGISTRY = needs("avro", "jsonschema", "google.protobuf")
"""The extra `registry`."""
CLIENTS = needs("httpx2", "authlib", "cachetools", "fastavro")
"""The extras of confluent-kafka."""
