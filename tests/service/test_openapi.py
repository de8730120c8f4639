"""The OpenAPI document is true: schemathesis sends what it allows and what it does not, and checks the answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from service_process import ServiceProcess

SCRIPT = Path(__file__).with_name("check_openapi.py")


def test_answers_are_those_of_the_document(service: ServiceProcess) -> None:
    """In a process of its own: pytest would rewrite schemathesis, which makes Python 3.11.7's parser stumble."""
    done = subprocess.run([sys.executable, SCRIPT, service.url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    document = service.client.get("/openapi.json").json()
    assert f"{sum(map(len, document['paths'].values()))} operations" in done.stdout


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
