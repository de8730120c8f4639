"""Raw rows and provenance for tests of post-processing and of the timeline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from affectline.labels import ABAW_ACTION_UNITS, FERPLUS_8, HeadKind, Task
from affectline.postprocess.decide import Thresholds
from affectline.postprocess.finish import FinishSettings
from affectline.postprocess.smoothing import Smoothing
from affectline.provenance import HeadRecord, ModelRecord, Provenance
from affectline.schema import raw_schema
from affectline.video import Sampling

Row = dict[str, object]

THRESHOLDS = Thresholds(dict.fromkeys(ABAW_ACTION_UNITS, 0.5))
UNSMOOTHED = FinishSettings(THRESHOLDS, Smoothing.off())

RAW = raw_schema(FERPLUS_8)


def face(frame: int, track: int | None = 1, interval_s: float = 0.04, **cells: object) -> Row:
    """Return a row of an observed face; all scores are 0 but Neutral, which is 1."""
    scores = dict.fromkeys(RAW.names[10:], 0.0)
    row = {"frame": frame, "time_s": frame * interval_s, "track_id": track, "status": "observed"}
    boxes = {"box_x1": 10.0, "box_y1": 20.0, "box_x2": 30.0, "box_y2": 40.0}
    return {**row, "face_score": 0.9, "quality": 0.8, **boxes, **scores, "p_neutral": 1.0, **cells}


def blank(frame: int, interval_s: float = 0.04, status: str = "no_face", **cells: object) -> Row:
    """Return a row of a frame without a face."""
    return {"frame": frame, "time_s": frame * interval_s, "status": status, **cells}


def raw_table(rows: Sequence[Row], with_source: bool = False) -> pa.Table:
    """Return rows as a table; cells that a row does not name are null."""
    schema = raw_schema(FERPLUS_8, with_source)
    columns = {field.name: pa.array([row.get(field.name) for row in rows], field.type) for field in schema}
    return pa.table(columns, schema=schema)


def random_raw_table(
    rng: np.random.Generator, times_s: Sequence[float], presence: dict[int, Sequence[bool]]
) -> pa.Table:
    """Return random scores for tracks that are present in some frames; other frames are blank, some of them broken."""
    rows = []
    for frame, time_s in enumerate(times_s):
        tracks = [track for track, is_present in presence.items() if is_present[frame]]
        probabilities = rng.dirichlet(np.ones(len(FERPLUS_8)), len(tracks))
        for track, shares in zip(tracks, probabilities, strict=True):
            cells = dict(zip(RAW.names[4:], rng.random(len(RAW.names) - 4).tolist(), strict=True))
            cells |= {label.column: float(share) for label, share in zip(FERPLUS_8, shares, strict=True)}
            rows.append({**face(frame, track), **cells, "time_s": time_s})
        if not tracks:
            rows.append(blank(frame, status=str(rng.choice(["no_face", "error"])), time_s=time_s))
    return raw_table(rows)


def provenance(**changes: object) -> Provenance:
    """Return the provenance of a short video, with some fields changed."""
    values: dict[str, object] = {
        "created": "2026-01-02T03:04:05+00:00",
        "input": "clip ä.mp4",
        "size_bytes": 1234,
        "duration_s": 4.004,
        "container_frames": 96,
        "decoded_frames": 96,
        "is_complete": True,
        "problem": None,
        "affectline": "0.1.0",
        "python": "3.11.9",
        "dependencies": {"numpy": "2.0.0", "onnxruntime": "1.20.0"},
        "device": "cpu",
        "detector": "blazeface",
        "max_faces": None,
        "backbone": "lite0_ferplus",
        "models": (ModelRecord("backbone", "lite0_ferplus", "sha256:12", "Apache-2.0", "FER+"),),
        "heads": (HeadRecord(Task.VA, HeadKind.ZERO_SHOT, "norms of emotion words"),),
        "expressions": FERPLUS_8,
        "sampling": Sampling(fps=12.5, start_s=1.0),
        "stride_s": None,
        "smoothing": Smoothing(au_s=0.2),
        "thresholds": THRESHOLDS,
    }
    return Provenance(**{**values, **changes})
