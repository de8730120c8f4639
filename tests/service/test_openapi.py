"""The OpenAPI document is true: schemathesis sends what it allows and what it does not, and checks the answers."""

from __future__ import annotations

# pytest rewrites what this imports later on, deep in a stack of calls where Python 3.11's parser gives up.
import schemathesis
import schemathesis.specs.openapi._hypothesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from service_process import PATIENCE_S, ServiceProcess

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


def test_answers_are_those_of_the_document(service: ServiceProcess) -> None:
    document = service.client.get("/openapi.json").json()
    api = schemathesis.openapi.from_dict(document)
    operations = [operation.ok() for operation in api.get_all_operations()]
    assert len(operations) == sum(map(len, document["paths"].values()))
    for operation in operations:

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def call(case: schemathesis.Case) -> None:
            case.call_and_validate(base_url=service.url, checks=CHECKS, timeout=PATIENCE_S)

        call()


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
