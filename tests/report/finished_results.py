"""Folders as `affectline analyze` leaves them, made from rows that are stated rather than measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from result_tables import empty_row, face_row, table_of

from affectline.labels import FERPLUS_8, ActionUnit, Expression, Status
from affectline.schema import timeline_schema
from affectline.timeline import Timeline
from raw_tables import provenance

HOSTILE_NAME = "<script>alert(1)</script>\u2028'\"&<!--.mp4"

_PAIRS = [Expression.SADNESS, Expression.NEUTRAL, Expression.HAPPINESS]


def write_result(folder: Path, table: pa.Table, **changes: object) -> Path:
    """Write a table and its summary, and return the folder."""
    Timeline(table, provenance(**{"expressions": FERPLUS_8, **changes})).write(folder)
    return folder


def moving_row(
    frame: int, *, of: int, track: int | None = 1, fps: float = 25.0, **changes: object
) -> dict[str, object]:
    """Return a row of a face that goes from sad through neutral to happy in `of` frames."""
    place = min(1.0, frame / max(1, of - 1))
    weights = {label: max(0.0, 1 - abs(2 * place - number)) for number, label in enumerate(_PAIRS)}
    row = face_row(frame, fps=fps, track=track)
    row |= {label.column: weights.get(label, 0.0) for label in Expression}
    row["expression"] = max(weights, key=lambda label: weights[label]).value
    row |= {"valence": 1.6 * place - 0.8, "arousal": 0.5 * np.sin(6 * place)}
    row |= {unit.column: abs(np.sin(place * 3 + number)) for number, unit in enumerate(ActionUnit)}
    return row | changes


def one_face(frames: int = 100) -> pa.Table:
    """Return one face in every frame, at 25 frames a second."""
    return table_of([moving_row(n, of=frames) for n in range(frames)])


def two_faces_with_gaps(frames: int = 200) -> pa.Table:
    """Return two faces: one hidden, filled in and of low quality in parts, one that comes late; then nobody."""
    rows = []
    for n in range(frames):
        share = n / frames
        if share >= 0.9:
            rows.append(empty_row(n))
            continue
        if not 0.5 <= share < 0.6:
            status = Status.LOW_QUALITY if 0.2 <= share < 0.3 else Status.OBSERVED
            status = Status.INTERPOLATED if 0.4 <= share < 0.45 else status
            rows.append(moving_row(n, of=frames, status=status.value))
        if share >= 0.3:
            place = {"box_x1": 60.0, "box_x2": 180.0, "box_y1": 60.0, "box_y2": 200.0}
            rows.append(moving_row(frames - n, of=frames, track=4, **place) | {"frame": n, "time_s": n / 25})
        elif 0.5 <= share < 0.6:
            rows.append(empty_row(n))
    return table_of(rows)


def nobody(frames: int = 50) -> pa.Table:
    """Return frames without a face."""
    return table_of([empty_row(n) for n in range(frames)])


def images(names: list[str], faces_each: int = 1) -> pa.Table:
    """Return independent images, with the same number of faces in each."""
    rows = [
        moving_row(n, of=len(names), track=None) | {"time_s": None, "source": name, "quality": 0.8 - rank / 10}
        for n, name in enumerate(names)
        for rank in range(faces_each)
    ]
    schema = timeline_schema(FERPLUS_8, with_source=True)
    return pa.table([pa.array([row.get(f.name) for row in rows], f.type) for f in schema], schema=schema)
