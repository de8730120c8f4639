"""The OpenAPI document is true: schemathesis sends what it allows and what it does not, and checks the answers."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from service_process import ServiceProcess

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


@pytest.fixture
def api(service: ServiceProcess) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_dict(service.client.get("/openapi.json").json())


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_those_of_the_document(case: schemathesis.Case, service: ServiceProcess) -> None:
    case.call_and_validate(base_url=service.url, checks=CHECKS, timeout=300)


def test_the_document_has_examples_records_and_problems(service: ServiceProcess) -> None:
    document = service.client.get("/openapi.json").json()
    paths = document["paths"]
    assert {
        "/v1/analyses",
        "/v1/analyses/{analysis_id}",
        "/v1/analyses/{analysis_id}/timeline.{suffix}",
        "/v1/analyses/{analysis_id}/report",
        "/v1/models",
        "/v1/schema",
        "/healthz",
        "/metrics",
    } <= set(paths)
    schemas = document["components"]["schemas"]
    assert schemas["Analysis"]["examples"][0]["state"] == "done"
    assert schemas["Problem"]["examples"][0]["status"] == 415
    assert "valence" in schemas["TimelineRow"]["properties"]
    assert "multipart/form-data" in paths["/v1/analyses"]["post"]["requestBody"]["content"]
    errors = [
        (path, status, answer)
        for path, methods in paths.items()
        for method in methods.values()
        for status, answer in method["responses"].items()
        if int(status) >= 400
    ]
    assert errors
    assert all(list(answer["content"]) == ["application/problem+json"] for _, _, answer in errors)
