"""What tests of agents need: a model endpoint and an HTTP endpoint for tools, both on real local sockets."""

from __future__ import annotations

import pytest

from tests.agents.http_endpoint import HttpEndpoint
from tests.model_endpoint import ModelEndpoint


@pytest.fixture(scope="session")
def _model_endpoint():
    with ModelEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def model_endpoint(_model_endpoint, settings):
    """The fake model endpoint, allowed by the address guard."""
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    _model_endpoint.reset()
    return _model_endpoint


@pytest.fixture
def http_endpoint(settings):
    """A server that remembers its requests and answers as its handler says, allowed by the address guard."""
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    with HttpEndpoint() as endpoint:
        yield endpoint
