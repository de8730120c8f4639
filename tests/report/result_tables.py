"""Small result tables for tests, in the product's own schema."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from affectline.labels import FERPLUS_8, ActionUnit, Expression, Status
from affectline.schema import timeline_schema

HAPPY = {Expression.HAPPINESS: 0.8, Expression.NEUTRAL: 0.2}


def face_row(frame: int, *, fps: float = 25.0, track: int | None = 1, **changes: object) -> dict[str, object]:
    """Return one observed, happy face in the middle of a 640x360 frame; `changes` replace its cells."""
    row: dict[str, object] = {
        "frame": frame,
        "time_s": frame / fps,
        "track_id": track,
        "status": Status.OBSERVED.value,
        "face_score": 0.9,
        "quality": 0.8,
        "box_x1": 250.0,
        "box_y1": 100.0,
        "box_x2": 390.0,
        "box_y2": 280.0,
        "valence": 0.5,
        "arousal": -0.25,
        "expression": Expression.HAPPINESS.value,
    }
    row |= {label.column: HAPPY.get(label, 0.0) for label in Expression}
    row |= {unit.column: number / 12 for number, unit in enumerate(ActionUnit)}
    return row | changes


def empty_row(frame: int, *, fps: float = 25.0) -> dict[str, object]:
    """Return the row of a frame without a face."""
    return {"frame": frame, "time_s": frame / fps, "status": Status.NO_FACE.value}


def table_of(
    rows: list[dict[str, object]], labels: tuple[Expression, ...] = FERPLUS_8, *, with_units: bool = True
) -> pa.Table:
    """Return a result table of these rows; cells that a row lacks are null."""
    arrays = []
    schema = timeline_schema(labels)
    for field in schema:
        is_left_out = not with_units and field.name.startswith("au")
        arrays.append(pa.array([None if is_left_out else row.get(field.name) for row in rows], field.type))
    return pa.table(arrays, schema=schema)


def long_table(rows: int) -> pa.Table:
    """Return one track of so many frames at 25 fps with random scores, a gap in each thousand."""
    random = np.random.default_rng(0)
    frames = np.flatnonzero(np.arange(2 * rows) % 1000 < 950)[:rows]
    constant = face_row(0)
    columns = {"frame": frames, "time_s": frames / 25}
    arrays = []
    for field in timeline_schema(FERPLUS_8):
        if field.name in columns:
            values = pa.array(columns[field.name]).cast(field.type)
        elif pa.types.is_floating(field.type) and not field.name.startswith("box"):
            values = pa.array(random.random(rows)).cast(field.type)
        else:
            values = pa.array([constant.get(field.name)] * rows, field.type)
        arrays.append(values)
    return pa.table(arrays, schema=timeline_schema(FERPLUS_8))
