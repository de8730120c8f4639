"""Analyses the frames of one camera: a child process of its own (`python -m affectline.service.live_worker`)."""

from __future__ import annotations

import io
import json
import math
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from affectline.errors import AffectlineError
from affectline.json_records import JsonValue, read_record
from affectline.labels import ABAW_ACTION_UNITS, VALENCE_AROUSAL, Expression
from affectline.parent_pipe import ChildLimits, ParentPipe, apply_limits
from affectline.service.settings import AnalysisChoice

if TYPE_CHECKING:
    from affectline.analysis import Analyzer
    from affectline.records import UInt8Array

TIME: Final = struct.Struct("<d")
"""What stands before each JPEG: when it came, in seconds from the first."""

_PLACES: Final = 4


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """What a live worker is told.

    Attributes:
        choice: what to look for.
        action_units: estimate action units.
        max_pixels: of a frame.
        limits: of this process.
    """

    choice: AnalysisChoice
    action_units: bool
    max_pixels: int
    limits: ChildLimits


class BadFrameError(Exception):
    """A frame that is not analysed; the next one may be."""


def main() -> None:
    """Load the networks, then answer each frame with the faces in it."""
    pipe = ParentPipe()
    request = read_record(LiveRequest, json.loads(pipe.receive()), "the request")
    apply_limits(request.limits)
    try:
        analyzer = _load(request)
    except AffectlineError as error:
        pipe.send({"type": "problem", "detail": str(error)})
        return
    pipe.send({"type": "ready"})
    _serve(pipe, analyzer, request.max_pixels)


def _load(request: LiveRequest) -> Analyzer:
    import numpy as np

    from affectline.analysis import Analyzer
    from affectline.models import load_models
    from affectline.records import Frame

    options = request.choice.live_options(request.action_units)
    models = load_models(options)
    # The first picture is slow: memory is set up. It goes to an analyzer of its own, which is thrown away.
    Analyzer(options, models).push(Frame(0, 0.0, np.zeros((360, 480, 3), np.uint8)))
    return Analyzer(options, models)


def _serve(pipe: ParentPipe, analyzer: Analyzer, max_pixels: int) -> None:
    from affectline.records import Frame

    index, last_s = 0, -math.inf
    while True:
        message = pipe.receive()
        begun_s = time.perf_counter()
        (time_s,) = TIME.unpack_from(message)
        try:
            rgb = decode_jpeg(message[TIME.size :], max_pixels)
        except BadFrameError as error:
            pipe.send({"type": "problem", "detail": str(error)})
            continue
        time_s = max(time_s, last_s + 1e-3)
        rows = analyzer.push(Frame(index, time_s, rgb)).to_pylist()
        index, last_s = index + 1, time_s
        pipe.send(
            {
                "type": "faces",
                "time_s": round(time_s, 3),
                "width": rgb.shape[1],
                "height": rgb.shape[0],
                "faces": [face_record(row) for row in rows if row["box_x1"] is not None],
                "analysis_ms": round(1000 * (time.perf_counter() - begun_s), 1),
            }
        )


def decode_jpeg(data: bytes, max_pixels: int) -> UInt8Array:
    """Return the picture in a JPEG, as RGB of shape (height, width, 3), uint8; its size is read before its pixels.

    Raises:
        BadFrameError: it is no JPEG, too large, or damaged.
    """
    import cv2
    import numpy as np
    from PIL import Image

    most = f"send at most {max_pixels / 1e6:.1f} megapixels"
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise BadFrameError(f"The frame is far too large; {most}.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise BadFrameError("This message is no JPEG.") from error
    if width * height > max_pixels:
        raise BadFrameError(f"The frame has {width} x {height} pixels; {most}.")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise BadFrameError("This JPEG is damaged.") from error
    if bgr is None:
        raise BadFrameError("This JPEG is damaged.")
    return np.ascontiguousarray(bgr[:, :, ::-1])


def face_record(row: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return what is told of one face, from its row of the timeline."""
    words = {label.column: label.value for label in Expression}
    # In the order of the row, which is that of the head's classes.
    probabilities: dict[str, JsonValue] = {
        words[name]: _short(value) for name, value in row.items() if name in words and value is not None
    }
    units: dict[str, JsonValue] = {
        unit.value: _short(row[unit.column]) for unit in ABAW_ACTION_UNITS if row.get(unit.column) is not None
    }
    return {
        "track_id": row["track_id"],
        "status": row["status"],
        "box": [_short(row[f"box_{side}"], 1) for side in ("x1", "y1", "x2", "y2")],
        "face_score": _short(row["face_score"]),
        "quality": _short(row["quality"]),
        **{name: _short(row[name]) for name in VALENCE_AROUSAL},
        "expression": row["expression"],
        "probabilities": probabilities,
        "action_units": units or None,
    }


def _short(value: JsonValue, places: int = _PLACES) -> JsonValue:
    return round(value, places) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
