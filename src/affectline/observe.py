"""From frames to raw rows: what the networks say of every face, before gaps are filled and scores are smoothed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
import pyarrow as pa

from affectline.block_rows import BlockRows, Seen
from affectline.face_scores import TaskScores
from affectline.faces.crops import crop_face
from affectline.faces.finder import FaceFinder
from affectline.faces.landmarks import LandmarkReader
from affectline.faces.quality import face_quality
from affectline.faces.reference import average_keypoints
from affectline.faces.stretches import Stretches
from affectline.models import Models
from affectline.options import AnalyzeOptions
from affectline.pipeline import (
    ONE_OPENCV_THREAD,
    Permit,
    Submit,
    applied,
    at_once,
    drawn,
    in_background,
    permit_for,
    queue_length,
    side_by_side,
)
from affectline.raw_blocks import RawBlock
from affectline.records import Face, Frame
from affectline.schema import raw_schema
from affectline.stride import Stride, mark_last


def raw_rows_schema(models: Models, names: Sequence[str] | None) -> pa.Schema:
    """Return the schema of the rows that an `Observer` of these models and file names gives."""
    encodings = {task: head.encoding_size for task, head in models.context_heads.items()}
    return raw_schema(
        models.expressions, names is not None, encodings, with_asked=models.cascade is not None, with_missed=True
    )


class Observer:
    """Follows the faces of one input and runs the networks on them.

    Args:
        models: what to run.
        max_faces: follow the N largest faces only.
        detect_every: of so many sampled frames at least one is searched for faces; None leaves it open, see
            `faces.finder.FaceFinder`. The first of each stretch always is (`faces.stretches`).
        names: file names by frame index; given for independent images, which are not tracked.
        stride_s: look at one frame in so many seconds (`stride.Stride`); the others have a row without a face.
    """

    def __init__(
        self,
        models: Models,
        max_faces: int | None = None,
        detect_every: int | None = None,
        names: Sequence[str] | None = None,
        stride_s: float | None = None,
    ) -> None:
        self._models = models
        self._names = names
        self._max_faces = max_faces
        self._detect_every = detect_every
        self._stride = Stride(stride_s)
        self._stretches = Stretches()
        self._finder = self._fresh_finder()
        self._reader = self._fresh_reader()
        self.schema = raw_rows_schema(models, names)

    @classmethod
    def of(cls, models: Models, options: AnalyzeOptions, names: Sequence[str] | None = None) -> Observer:
        """Return what an analysis with these options observes with."""
        return cls(models, options.max_faces, options.detect_every, names, options.stride_s)

    def _fresh_finder(self) -> FaceFinder | None:
        detector = self._models.detector
        return None if detector is None else FaceFinder(detector, self._max_faces, self._detect_every)

    def _fresh_reader(self) -> LandmarkReader | None:
        return None if self._models.landmarks is None else LandmarkReader(self._models.landmarks)

    def observe(self, frames: Iterable[Frame], frame_bytes: int, *, goes_on: bool = False) -> Iterator[RawBlock]:
        """Give the raw rows of the frames, block by block; decoding, faces, landmarks and backbone run side by side.

        No more of it runs at once than the backbones may use cores (`Runtime.threads`); with one, all runs in the
        calling thread.

        Args:
            frames: in order; read in a thread of its own.
            frame_bytes: size of one decoded frame, from which the queues get their length; 0 where it is unknown.
            goes_on: more frames of the input follow behind these. With a stride, the last of an input is seen too.
        """
        depth = queue_length(frame_bytes)
        ends = self._stride.stride_s is not None and not goes_on
        marked_frames = mark_last(frames) if ends else ((frame, False) for frame in frames)
        runtime = self._models.backbones[0].runtime
        if runtime.cores == 1:
            with ONE_OPENCV_THREAD:
                yield from self._run(map(self._see, marked_frames), at_once)
            return
        permit = permit_for(runtime.cores)
        with (
            ONE_OPENCV_THREAD,
            in_background(drawn(marked_frames, permit), depth) as decoded,
            in_background(applied(self._find, decoded, permit), depth) as found,
            in_background(applied(self._prepare, found, permit), depth) as prepared,
            self._marking(prepared, depth, permit) as marked,
            side_by_side(runtime.lanes, permit, runtime.threads_per_lane, gives_way=runtime.gives_way) as submit,
        ):
            yield from self._run(applied(self._express, marked, permit), submit)

    def _marking(self, prepared: Iterable[Seen], depth: int, permit: Permit) -> AbstractContextManager[Iterable[Seen]]:
        """Find landmarks in a thread of its own; without any to find, handing frames on would only cost time."""
        marked = applied(self._mark, prepared, permit)
        return nullcontext(marked) if self._reader is None else in_background(marked, depth)

    def observe_one(self, frame: Frame) -> RawBlock:
        """Give the raw rows of one frame, at once and in the calling thread."""
        (block,) = self._run([self._see((frame, False))], at_once)
        return block

    def _see(self, taken: tuple[Frame, bool]) -> Seen:
        """Take a frame through all stages before the backbones; with it comes whether it is the input's last."""
        return self._express(self._mark(self._prepare(self._find(taken))))

    def _find(self, taken: tuple[Frame, bool]) -> Seen:
        frame, is_last = taken
        begins_stretch = self._stretches.begins_with(frame.time_s)
        if begins_stretch:
            self._finder = self._fresh_finder()
        is_passed = not (self._stride.takes(frame, begins_stretch=begins_stretch) or is_last)
        seen = Seen(
            frame,
            begins_stretch,
            begins_scene=False,
            thumbnail=None,
            is_passed=is_passed,
            faces=[] if is_passed else self._faces(frame),
            frame_wh=frame.rgb.shape[1::-1],
        )
        if self._finder is not None and not is_passed:
            seen.begins_scene, seen.thumbnail = self._finder.begins_scene, self._finder.thumbnail
        if self._reader is not None:
            seen.suggested = self._reader.suggest(frame.rgb, seen.faces)
        return seen

    def _faces(self, frame: Frame) -> Sequence[Face]:
        if self._finder is None:
            return [] if frame.is_corrupt else [_whole_picture(frame)]
        if frame.time_s is None and not frame.is_corrupt:
            return self._finder.find_independent(frame)
        return self._finder.find(frame)

    def _prepare(self, seen: Seen) -> Seen:
        """Look how good each face is to see, and bring it to the form that each backbone wants.

        That of a cascade's network comes last.
        """
        rgb, cascade = seen.frame.rgb, self._models.cascade
        backbones = [*self._models.backbones, *([] if cascade is None else [cascade.backbone])]
        seen.qualities = [face_quality(rgb, face) for face in seen.faces]
        seen.prepared = [
            tuple(backbone.prepare(crop_face(rgb, face.box_xyxy, backbone.spec.crop)) for backbone in backbones)
            for face in seen.faces
        ]
        return seen

    def _mark(self, seen: Seen) -> Seen:
        if seen.begins_stretch:
            self._reader = self._fresh_reader()
        if self._reader is not None and not seen.is_passed and not seen.frame.is_corrupt:
            seen.meshes = self._reader.find(seen.frame.rgb, seen.faces, seen.suggested)
        # Nobody looks at the picture again; a block of them would not fit into memory.
        seen.frame = replace(seen.frame, rgb=_NO_PIXELS)
        return seen

    def _express(self, seen: Seen) -> Seen:
        if self._reader is not None:
            seen.landmarks = self._reader.express(seen.meshes)
        return seen

    def _run(self, seen: Iterable[Seen], submit: Submit[TaskScores]) -> Iterator[RawBlock]:
        block = BlockRows(self._models, self._names, submit)
        ended: deque[BlockRows] = deque()
        for item in seen:
            if block and (item.begins_stretch or block.is_full):
                ended.append(block.ended())
                block = BlockRows(self._models, self._names, submit)
            block.add(item)
            # The backbones go on with the crops of the next block meanwhile.
            while ended and (ended[0].is_scored or len(ended) > 1):
                yield ended.popleft().build(self.schema)
        if block:
            ended.append(block.ended())
        for block in ended:
            yield block.build(self.schema)


_NO_PIXELS = np.empty((0, 0, 3), np.uint8)


def _whole_picture(frame: Frame) -> Face:
    """Return the face that fills a picture which is a crop already."""
    height, width = frame.rgb.shape[:2]
    box_xyxy = np.array((0, 0, width, height), np.float32)
    return Face(
        box_xyxy=box_xyxy,
        score=1.0,
        keypoints=average_keypoints(box_xyxy[None])[0],
        track_id=None if frame.time_s is None else 1,
    )
