"""What backbones said of the faces of a video, as tables on disk: the only thing that training reads."""

from affectline.features.parts import FeaturePart, input_width, parse_parts, stack_inputs
from affectline.features.table import (
    CropKind,
    FeatureInfo,
    FeatureTable,
    TimeSource,
    feature_schema,
    refuse_other_faces,
)

__all__ = [
    "CropKind",
    "FeatureInfo",
    "FeaturePart",
    "FeatureTable",
    "TimeSource",
    "feature_schema",
    "input_width",
    "parse_parts",
    "refuse_other_faces",
    "stack_inputs",
]
