"""Clips for benchmarks, made from other clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

DEMO_CLIP_S = 472 * 1001 / 24000
"""The length of the demo clip."""


def repeat(clip: Path, times: int, out: Path) -> Path:
    """Write a clip's video stream several times in a row, packet by packet, without encoding it again."""
    with av.open(str(clip)) as source, av.open(str(out), "w") as target:
        video = source.streams.video[0]
        stream = target.add_stream_from_template(video)
        length = int(video.duration or 0)
        for round_number in range(times):
            source.seek(0, stream=video)
            for packet in source.demux(video):
                if packet.dts is None:
                    continue
                packet.pts += round_number * length
                packet.dts += round_number * length
                packet.stream = stream
                target.mux(packet)
    return out


def scaled(clip: Path, size_wh: tuple[int, int], seconds: float, out: Path) -> Path:
    """Write a clip at another size, played again and again until it is `seconds` long."""
    frames, rate = _decode(clip)
    wanted = round(seconds * float(rate))
    larger = [frame.reformat(*size_wh, format="yuv420p") for frame in frames[:wanted]]
    return _encode((larger[number % len(larger)] for number in range(wanted)), size_wh, rate, out)


def mosaic(clip: Path, out: Path) -> Path:
    """Write a clip four times in one picture, two by two, each a quarter of its length after the one before."""
    frames, rate = _decode(clip)
    n = len(frames)
    pictures = [frame.to_ndarray(format="rgb24") for frame in frames]
    height, width = pictures[0].shape[:2]

    def joined() -> Iterator[av.VideoFrame]:
        for number in range(n):
            one, two, three, four = (pictures[(number + part * n // 4) % n] for part in range(4))
            picture = np.vstack([np.hstack([one, two]), np.hstack([three, four])])
            yield av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")

    return _encode(joined(), (2 * width, 2 * height), rate, out)


def _decode(clip: Path) -> tuple[list[av.VideoFrame], Fraction]:
    with av.open(str(clip)) as source:
        return list(source.decode(video=0)), Fraction(source.streams.video[0].average_rate)


def _encode(frames: Iterable[av.VideoFrame], size_wh: tuple[int, int], rate: Fraction, out: Path) -> Path:
    with av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = *size_wh, "yuv420p"
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, 1 / rate
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return out
