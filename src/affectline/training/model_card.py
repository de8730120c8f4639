"""The model card of a backbone that was trained here: what it is, what it was made of, how good it is, its limits."""

from __future__ import annotations

import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from affectline import __version__
from affectline.atomic_file import complete_file
from affectline.backbones.spec import BackboneSpec
from affectline.evaluation.ferplus import FerPlusEvaluation
from affectline.training.finetune_params import FinetuneParams

if TYPE_CHECKING:
    from affectline.training.ferplus_recipe import FerPlusTrained

_LIMITS = """- It learned from small grey photographs, found on the web with words for emotions: posed, acted or
  picked because they looked expressive. A face is not a feeling.
- Groups of people are not evenly among them, and nobody recorded who is: error rates differ between groups and are not
  known. Do not compare groups by its output.
- Disgust, fear and contempt are rare in the training data. Their figures rest on few photographs.
- Faces that are turned away, covered or very small are harder than those it was tested on."""


def write_card(path: Path, name: str, spec: BackboneSpec, params: FinetuneParams, trained: FerPlusTrained) -> None:
    """Write the card of a backbone that was trained on FER+, as Markdown.

    Raises:
        OutputError: the file cannot be written.
    """
    exported = trained.exported
    by_way = ", ".join(str(step.size) for step in spec.resize)
    relative, absolute = _differences(exported.difference), _differences(exported.half_difference)
    text = f"""# {name}

| | |
|---|---|
| file | `{exported.path.name}`, {exported.size_bytes:,} bytes, sha256 `{exported.sha256}` |
| input | {spec.size} x {spec.size}, {spec.colour.value}, by way of {by_way} pixels |
| labels | {", ".join(label.value for label in spec.labels)} |
| architecture | {params.arch} |
| trained on | {spec.training_data} |
| licence of the file | {spec.licence}; the photographs were collected for research: mind their terms |
| temperature | {trained.temperature:.4f}, fitted on the validation votes |
| differs from PyTorch | {relative} (relative to the largest value) |
| large weights stored as float16 | moves outputs by {absolute} (absolute) |
| made with | affectline {__version__}, PyTorch {torch.__version__}, Python {platform.python_version()} |

## On the validation split, on which everything was chosen

{_figures(trained.valid)}

For figures on the test split run `affectline evaluate ferplus {exported.path.name} --data FERPLUS.npz --on test`.

## Recipe

{_recipe(params)}

## Limits

{_LIMITS}
"""
    with complete_file(path) as file:
        file.write(text.encode())


def _differences(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1e}" for name, value in found.items())


def _figures(found: FerPlusEvaluation) -> str:
    official, plurality = found.official.report, found.plurality.report
    lines = [
        f"Official protocol ({official.frames} photographs): accuracy {official.accuracy:.2%}, macro F1 "
        f"{official.p:.3f}, of large classes {found.official.f1_of_many:.3f}. Plurality ({plurality.frames}): "
        f"{plurality.accuracy:.2%}. Expected calibration error {found.calibration_error:.2%}.",
        "",
        "| class | photographs | recall | 95 % interval | F1 |",
        "|---|---|---|---|---|",
    ]
    for score, interval in zip(official.per_label, found.official.recall_intervals, strict=True):
        reach = "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
        support, recall, f1 = (score.values[key] for key in ("support", "recall", "f1"))
        lines.append(f"| {score.label} | {support:.0f} | {recall:.3f} | {reach} | {f1:.3f} |")
    return "\n".join(lines)


def _recipe(params: FinetuneParams) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in asdict(params).items())
    return f"| parameter | value |\n|---|---|\n{rows}"
