"""Video reading: frames with their true number and time, whatever the container."""

from affectline.video.reader import VideoFile, open_video, probe, read_frames
from affectline.video.segment_reader import SegmentReader, SegmentReport, UnusableStartError
from affectline.video.segments import Plan, Segment
from affectline.video.source import EVERY_FRAME, FrameSource, ReadReport, Sampling, SourceInfo

__all__ = [
    "EVERY_FRAME",
    "FrameSource",
    "Plan",
    "ReadReport",
    "Sampling",
    "Segment",
    "SegmentReader",
    "SegmentReport",
    "SourceInfo",
    "UnusableStartError",
    "VideoFile",
    "open_video",
    "probe",
    "read_frames",
]
