"""The API from upload to deletion, with a real server, real networks and real files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
import pytest
from service_process import ServiceProcess

from affectline import __version__
from affectline.records import UInt8Array


@pytest.fixture(scope="module")
def done(service: ServiceProcess, face_clip: Path) -> dict[str, object]:
    """An analysis of a second of a sad face, sent under a name that is a path and a script."""
    answer = service.upload(face_clip, "../../etc/<img src=x onerror=alert(1)> \u202egrief.mp4")
    assert answer.status_code == 201
    created = answer.json()
    assert answer.headers["location"] == created["links"]["self"] == f"/v1/analyses/{created['id']}"
    assert created["state"] in {"queued", "running"}
    early = service.client.get(f"/v1/analyses/{created['id']}/report")
    assert (early.status_code, early.json()["code"]) == (409, "no_result")
    return service.wait(created["id"])


def test_a_name_is_text_and_never_a_path(done: dict[str, object], service: ServiceProcess) -> None:
    assert done["name"] == "<img src=x onerror=alert(1)> grief.mp4"
    files = [path.relative_to(service.folder).as_posix() for path in service.folder.rglob("*")]
    assert not [path for path in files if "grief" in path]
    assert "grief" not in service.log.read_text()


def test_the_result_in_short(done: dict[str, object]) -> None:
    assert done["state"] == "done"
    assert done["problem"] is None
    assert done["upload"]["kind"] == "video"  # type: ignore[index]
    assert (done["upload"]["width"], done["upload"]["height"]) == (640, 360)  # type: ignore[index]
    result = done["result"]
    assert (result["frames"], result["rows"], result["tracks"]) == (24, 24, 1)  # type: ignore[index]
    assert result["expression"] == "Sadness"  # type: ignore[index]
    assert result["valence"] < -0.2  # type: ignore[index,operator]


def test_the_three_tables_are_the_same_timeline(done: dict[str, object], service: ServiceProcess) -> None:
    links = done["links"]
    get = service.client.get
    text = get(links["csv"])  # type: ignore[index]
    assert text.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in text.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(text.text)))
    lines = [json.loads(line) for line in get(links["jsonl"]).text.splitlines()]  # type: ignore[index]
    table = pyarrow.parquet.read_table(io.BytesIO(get(links["parquet"]).content))  # type: ignore[index]
    assert [int(row["frame"]) for row in rows] == [line["frame"] for line in lines] == list(range(24))
    assert table["valence"].to_pylist() == pytest.approx([line["valence"] for line in lines])
    assert b"<img src=x" in table.schema.metadata[b"affectline"] or b"grief" in str(table.schema.metadata).encode()


def test_the_report_stands_in_a_sandbox(done: dict[str, object], service: ServiceProcess) -> None:
    answer = service.client.get(done["links"]["report"])  # type: ignore[index]
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "sandbox allow-scripts allow-downloads" in policy
    assert "allow-same-origin" not in policy
    assert "connect-src 'none'" in policy
    assert "<img src=x" not in answer.text
    assert "grief" in answer.text
    assert str(service.folder) not in answer.text
    part = service.client.get(done["links"]["report"], headers={"Range": "bytes=0-14"})  # type: ignore[index]
    assert (part.status_code, part.text) == (206, "<!doctype html>")
    video = service.client.get(f"/v1/analyses/{done['id']}/report_video.mp4")
    assert (video.status_code, video.json()["code"]) == (404, "no_such_video")


def test_the_upload_is_gone_when_the_analysis_has_ended(done: dict[str, object], service: ServiceProcess) -> None:
    folder = service.folder / "jobs" / str(done["id"])
    assert folder.is_dir()
    assert not (folder / "upload").exists()


def test_deleting_removes_everything(service: ServiceProcess, empty_clip: Path) -> None:
    job = service.wait(service.upload(empty_clip).json()["id"])
    assert job["result"]["expression"] is None
    assert job["result"]["tracks"] == 0
    own = f"/v1/analyses/{job['id']}"
    assert service.client.delete(own).status_code == 204
    for path in (own, f"{own}/report", f"{own}/timeline.csv"):
        assert service.client.get(path).status_code == 404
    assert service.client.delete(own).status_code == 404
    assert not (service.folder / "jobs" / job["id"]).exists()
    assert job["id"] not in [entry["id"] for entry in service.client.get("/v1/analyses").json()["analyses"]]


@pytest.fixture
def table(done: dict[str, object], service: ServiceProcess) -> tuple[str, bytes]:
    """Where a table is, and what it is."""
    url = str(done["links"]["csv"])  # type: ignore[index]
    return url, service.client.get(url).content


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [("bytes=0-14", 0, 15), ("bytes=10-", 10, None), ("bytes=-7", -7, None), ("Bytes=3-99999999", 3, None)],
)
def test_a_range_of_a_file(
    table: tuple[str, bytes], service: ServiceProcess, asked: str, begin: int, end: int | None
) -> None:
    url, whole = table
    part = service.client.get(url, headers={"Range": asked})
    assert (part.status_code, part.content) == (206, whole[begin:end])
    place = range(len(whole))[begin:end]
    assert part.headers["content-range"] == f"bytes {place[0]}-{place[-1]}/{len(whole)}"


@pytest.mark.parametrize(
    "asked",
    ["bytes", "bytes=", "bytes=-", "bytes=x-3", "bytes=9-3", "seconds=0-3", "bytes=0-1,5-6", "bytes=" + "9" * 5000],
)
def test_what_is_no_range_is_ignored(table: tuple[str, bytes], service: ServiceProcess, asked: str) -> None:
    url, whole = table
    answer = service.client.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, whole)
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("asked", ["bytes={size}-", "bytes=99999999-", "bytes=-0"])
def test_a_range_that_there_is_not_is_a_problem(table: tuple[str, bytes], service: ServiceProcess, asked: str) -> None:
    url, whole = table
    answer = service.client.get(url, headers={"Range": asked.format(size=len(whole))})
    assert (answer.status_code, answer.json()["code"]) == (416, "no_such_range")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["content-range"] == f"bytes */{len(whole)}"


def test_a_range_of_another_state_of_the_file_is_the_whole_file(
    table: tuple[str, bytes], service: ServiceProcess
) -> None:
    url, _ = table
    etag = service.client.get(url).headers["etag"]
    for state, status in ((etag, 206), ('"older"', 200), (f"W/{etag}", 200)):
        assert service.client.get(url, headers={"Range": "bytes=0-3", "If-Range": state}).status_code == status


def test_a_file_that_is_gone_is_a_problem(service: ServiceProcess, empty_clip: Path) -> None:
    job = service.wait(service.upload(empty_clip).json()["id"])
    for path in (service.folder / "jobs" / job["id"]).rglob("*.*"):
        path.unlink()
    for name in ("csv", "report"):
        answer = service.client.get(job["links"][name])
        assert (answer.status_code, answer.json()["code"]) == (404, "no_such_analysis")


def test_deleting_breaks_nothing_off_that_is_being_sent(service: ServiceProcess, empty_clip: Path) -> None:
    job = service.wait(service.upload(empty_clip).json()["id"])
    (folder,) = (service.folder / "jobs" / job["id"] / "results").glob("upload")
    size = 2**26
    with (folder / "timeline.csv").open("wb") as file:
        file.truncate(size)

    def pieces() -> Iterator[int]:
        with service.client.stream("GET", job["links"]["csv"]) as answer:
            assert answer.status_code == 200
            for number, piece in enumerate(answer.iter_raw()):
                if number == 0:
                    assert service.client.delete(f"/v1/analyses/{job['id']}").status_code == 204
                yield len(piece)

    assert sum(pieces()) == size


def test_reading_while_somebody_deletes(service: ServiceProcess, empty_clip: Path) -> None:
    for _ in range(3):
        job = service.wait(service.upload(empty_clip).json()["id"])
        own = f"/v1/analyses/{job['id']}"
        requests = [("GET", job["links"]["csv"])] * 30
        requests.insert(10, ("DELETE", own))
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda request: service.client.request(*request), requests))
        assert answers.pop(10).status_code == 204
        assert {answer.status_code for answer in answers} <= {200, 404}


def test_an_analysis_is_cancelled_while_it_runs(service: ServiceProcess, face_clip: Path) -> None:
    jobs = [service.upload(face_clip).json()["id"] for _ in range(3)]
    for job_id in jobs:
        assert service.client.delete(f"/v1/analyses/{job_id}").status_code == 204
    assert not [job_id for job_id in jobs if (service.folder / "jobs" / job_id).exists()]


def test_bytes_as_they_are_and_a_picture(service: ServiceProcess, face_pictures: list[UInt8Array]) -> None:
    _, jpeg = cv2.imencode(".jpg", face_pictures[0][:, :, ::-1])
    answer = service.client.post("/v1/analyses", content=jpeg.tobytes(), headers={"Content-Type": "image/jpeg"})
    job = service.wait(answer.json()["id"])
    assert (job["name"], job["state"]) == ("upload", "done")
    assert job["upload"] == {
        "kind": "image",
        "size_bytes": len(np.ravel(jpeg)),
        "width": 640,
        "height": 360,
        "duration_s": None,
    }
    (row,) = csv.DictReader(io.StringIO(service.client.get(job["links"]["csv"]).text))
    assert (job["result"]["tracks"], job["result"]["expression"]) == (1, row["expression"])
    assert job["result"]["valence"] == pytest.approx(float(row["valence"]), abs=1e-4)
    assert (row["status"], row["time_s"]) == ("observed", "")
    assert float(row["p_happiness"]) < 0.2
    assert service.client.get(job["links"]["report"]).status_code == 200


def test_the_list_has_pages(service: ServiceProcess) -> None:
    everything = service.client.get("/v1/analyses").json()["analyses"]
    second = service.client.get("/v1/analyses", params={"limit": 1, "offset": 1}).json()["analyses"]
    assert second == everything[1:2]
    for query in ("limit=0", "limit=x", "offset=-1", "limit=1000"):
        answer = service.client.get(f"/v1/analyses?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_models_columns_limits_health_and_metrics(service: ServiceProcess) -> None:
    get = service.client.get
    models = {entry["name"]: entry for entry in get("/v1/models").json()["models"]}
    assert models["lite0_ferplus"]["is_here"]
    assert "AffectNet" in models["enet_b0_8_va_mtl"]["trained_on"]
    description = get("/v1/schema").json()
    assert [column["name"] for column in description["columns"]][:3] == ["frame", "time_s", "track_id"]
    assert description["limits"]["max_bytes"] == 8_000_000
    assert get("/healthz").json() == {"status": "ok", "version": __version__}
    text = get("/metrics").text
    assert 'affectline_analyses{state="done"}' in text
    assert 'affectline_http_requests_total{method="GET",route="/healthz",status="200"}' in text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("PUT", "/v1/analyses", 405, "method_not_allowed"),
        ("GET", "/v1/analyses/x", 404, "no_such_analysis"),
        ("GET", "/v1/analyses/x/timeline.exe", 404, "no_such_analysis"),
        ("GET", "/v1/analyses/..%2f..%2fjobs.sqlite/report", 404, "not_found"),
        ("GET", "/static/..%2fapp.py", 404, "not_found"),
        ("GET", "/static/%2e%2e/app.py", 404, "not_found"),
        ("POST", "/v1/analyses", 415, "not_an_upload"),
    ],
)
def test_errors_are_problems(service: ServiceProcess, method: str, path: str, status: int, code: str) -> None:
    answer = service.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "code"}
    assert (problem["status"], problem["code"]) == (status, code)
    assert "Traceback" not in answer.text
