"""Clips for benchmarks, made from other clips."""

from __future__ import annotations

from pathlib import Path

import av


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
    frames = []
    with av.open(str(clip)) as source:
        rate = source.streams.video[0].average_rate
        for frame in source.decode(video=0):
            frames.append(frame.reformat(*size_wh, format="yuv420p"))
    with av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = *size_wh, "yuv420p"
        for number in range(round(seconds * float(rate))):
            frame = frames[number % len(frames)]
            frame.pts, frame.time_base = number, 1 / rate
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return out
