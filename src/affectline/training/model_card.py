"""The model card of a backbone that was trained here: what it is, of what it was made, how good it is, its limits."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from affectline import __version__
from affectline.atomic_file import complete_file
from affectline.backbones.spec import BackboneSpec
from affectline.evaluation.crop_scores import CropEvaluation
from affectline.evaluation.ferplus import FerPlusEvaluation
from affectline.labels import VALENCE_AROUSAL, Task
from affectline.training.export import Exported
from affectline.training.finetune_params import FinetuneParams

FERPLUS_LIMITS = """- It learned from small grey photographs, found on the web with words for emotions: posed, acted or
  picked because they looked expressive. A face is not a feeling.
- Groups of people are not evenly among them, and nobody recorded who is: error rates differ between groups and are not
  known. Do not compare groups by its output.
- Disgust, fear and contempt are rare in the training data. Their figures rest on few photographs.
- Faces that are turned away, covered or very small are harder than those it was tested on."""


TASK_LIMITS = """- It learned what its labels say. Who made them, and of whom, is yours to write here.
- Frames of one video are nearly equal: what counts is the number of videos and people. On other cameras, light and
  groups of people expect less than above.
- Do not compare groups of people by its output unless you have tested it on each of them."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a card says.

    Attributes:
        spec: of the backbone.
        params: of its training.
        exported: the file.
        held_out: what was held out and everything chosen on, in words.
        figures: how good it is there, Markdown.
        then: what the reader can do next, Markdown.
        limits: Markdown list.
        small: the int8 file and its figures beside those of the float32 file, in words; None where there is none.
    """

    spec: BackboneSpec
    params: FinetuneParams
    exported: Exported
    held_out: str
    figures: str
    then: str
    limits: str
    small: tuple[Path, str] | None = None


def write_card(path: Path, card: Card) -> None:
    """Write a card as Markdown.

    Raises:
        OutputError: the file cannot be written.
    """
    spec, exported = card.spec, card.exported
    by_way = ", ".join(str(step.size) for step in spec.resize)
    relative, absolute = _differences(exported.difference), _differences(exported.half_difference)
    outputs = [label.value for label in spec.labels] + [unit.value for unit in spec.action_units]
    outputs += VALENCE_AROUSAL if spec.has_valence_arousal else ()
    text = f"""# {spec.name}

| | |
|---|---|
| file | `{exported.path.name}`, {exported.size_bytes:,} bytes, sha256 `{exported.sha256}` |
| input | {spec.size} x {spec.size}, {spec.colour.value}, by way of {by_way} pixels |
| labels | {", ".join(outputs)} |
| architecture | {card.params.arch} |
| trained on | {spec.training_data} |
| licence of the file | {spec.licence} |
{_temperature(spec)}| differs from PyTorch | {relative} (relative to the largest value) |
| large weights stored as float16 | moves outputs by {absolute} (absolute) |
{_small(card)}| made with | affectline {__version__}, PyTorch {torch.__version__}, Python {platform.python_version()} |

## On {card.held_out}, on which everything was chosen

{card.figures}

{card.then}

## Recipe

{_recipe(card)}

## Limits

{card.limits}
"""
    with complete_file(path) as file:
        file.write(text.encode())


def _temperature(spec: BackboneSpec) -> str:
    return f"| temperature | {spec.temperature:.4f}, fitted on the held-out labels |\n" if spec.labels else ""


def _small(card: Card) -> str:
    if card.small is None:
        return ""
    path, words = card.small
    return f"| int8 form | `{path.name}`, {path.stat().st_size:,} bytes: {words} |\n"


def _differences(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1e}" for name, value in found.items())


def ferplus_figures(found: FerPlusEvaluation) -> str:
    """Return accuracy, F1 and calibration, and the recall of each class with its interval, Markdown."""
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


def task_figures(found: CropEvaluation) -> str:
    """Return the official score and that of each label with intervals over videos, Markdown."""
    report = found.report
    column = "ccc" if report.task is Task.VA else "f1"
    reach = "" if found.interval is None else f", 95 % interval over videos {_reach(found.interval)}"
    lines = [
        f"{report.frames} pictures of {found.videos} videos, one by one, without smoothing: P {report.p:.4f}{reach}."
        f"{_calibration(found)}",
        "",
        f"| label | {column.upper()} | 95 % interval | pictures |",
        "|---|---|---|---|",
    ]
    for number, score in enumerate(report.per_label):
        interval = _reach(found.label_intervals[number]) if found.label_intervals else "-"
        support = score.values.get("support", report.frames)
        lines.append(f"| {score.label} | {score.values[column]:.3f} | {interval} | {support:.0f} |")
    return "\n".join(lines)


def _calibration(found: CropEvaluation) -> str:
    error = found.calibration_error
    return "" if error is None else f" Expected calibration error {error:.2%}, on what the temperature was fitted to."


def _reach(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def _recipe(card: Card) -> str:
    of_classes = ("label_smoothing", "class_weights")
    told = {name: value for name, value in asdict(card.params).items() if card.spec.labels or name not in of_classes}
    rows = "\n".join(f"| {name} | {value} |" for name, value in told.items())
    return f"| parameter | value |\n|---|---|\n{rows}"
