"""Hold the answers of a running service against its OpenAPI document: `python check_openapi.py URL`."""

from __future__ import annotations

import sys

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from service_process import PATIENCE_S

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


def main(url: str) -> None:
    operations = [
        operation.ok() for operation in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations()
    ]
    for operation in operations:

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def call(case: schemathesis.Case) -> None:
            case.call_and_validate(base_url=url, checks=CHECKS, timeout=PATIENCE_S)

        call()
    sys.stdout.write(f"{len(operations)} operations\n")


if __name__ == "__main__":
    main(sys.argv[1])
