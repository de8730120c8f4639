"""The words of the page: what was analysed, how, and what each track comes down to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from affectline.labels import ActionUnit, Expression, HeadKind, Status, Task
from affectline.postprocess.smoothing import Smoothing
from affectline.provenance import Provenance
from affectline.report.cards import Card, card_of
from affectline.report.page.moments import Moment
from affectline.report.page.payload import has_boxes, word_colour
from affectline.report.series import Grid, Track

_TASKS = {Task.VA: "Valence and arousal", Task.EXPR: "Expressions", Task.AU: "Action units"}
_KINDS = {
    HeadKind.PRETRAINED: "a network trained on such labels, but on other pictures than these",
    HeadKind.ZERO_SHOT: "derived from other scores by a published table; no network saw such labels",
    HeadKind.TRAINED: "a head that was trained and given by whoever made this report",
}
_RESTS = {
    Status.LOW_QUALITY: "of low quality",
    Status.INTERPOLATED: "filled in between",
    Status.NO_FACE: "without this face",
}
_MINUTE_S, HOUR_S = 60, 3600


@dataclass(frozen=True, slots=True)
class HeadFact:
    """Where the scores of one task come from, in words."""

    what: str
    kind: str
    meaning: str
    source: str


@dataclass(frozen=True, slots=True)
class MomentFact:
    """A moment as the page shows it: `at` is where its button goes, `when` how that is written."""

    at: float
    when: str
    probability: float
    picture: str | None


@dataclass(frozen=True, slots=True)
class StackPart:
    """A part of the bar of shares, in percent of its width."""

    x: float
    width: float
    colour: str


@dataclass(frozen=True, slots=True)
class TrackFact:
    """A track as the page shows it."""

    name: str
    card: Card
    picture: str | None
    stack: tuple[StackPart, ...]
    rest: str
    moments: tuple[tuple[Expression, tuple[MomentFact, ...]], ...]
    never: tuple[str, ...]


def head_facts(provenance: Provenance) -> list[HeadFact]:
    """Return for each task where its scores come from."""
    return [HeadFact(_TASKS[head.task], head.head.value, _KINDS[head.head], head.source) for head in provenance.heads]


def headline(provenance: Provenance, size_wh: tuple[int, int] | None, tracks: int, grid: Grid) -> list[str]:
    """Return the line under the title, in pieces: length, size, faces, date."""
    faces = "no face" if not tracks else "1 face" if tracks == 1 else f"{tracks} faces"
    duration = provenance.duration_s
    length = f"{len(grid.frames)} {'image' if len(grid.frames) == 1 else 'images'}"
    if grid.has_time:
        length = clock(float(grid.edges[-1]) if duration is None else duration)
    size = [f"{size_wh[0]} \N{MULTIPLICATION SIGN} {size_wh[1]}"] if size_wh and all(size_wh) else []
    return [length, *size, faces, f"analysed {day(provenance)}"]


def day(provenance: Provenance) -> str:
    """Return the day of the analysis, such as `2026-11-28`."""
    return provenance.created[:10]


def settings(provenance: Provenance) -> list[tuple[str, str]]:
    """Return the settings of the analysis, each with its name."""
    sampling, smoothing = provenance.sampling, provenance.smoothing
    frames = (
        f"{sampling.fps:g} a second" if sampling.fps else f"every {sampling.every}." if sampling.every > 1 else "all"
    )
    span = [f"from {sampling.start_s:g} s"] if sampling.start_s else []
    span += [f"to {sampling.end_s:g} s"] if sampling.end_s else []
    versions = ", ".join(f"{name} {version}" for name, version in provenance.dependencies.items())
    rows = [
        ("Frames taken", " ".join([frames, *span])),
        ("Smoothing", smoothing_in_words(smoothing)),
        ("Uncertain", f"where the likeliest expression leads by less than {provenance.thresholds.uncertain_margin:g}"),
        ("Faces followed", "all" if provenance.max_faces is None else f"the {provenance.max_faces} largest"),
        ("Face detector", provenance.detector or "none: the pictures are faces"),
        ("Backbone", provenance.backbone),
        ("Device", provenance.device),
        ("Software", f"affectline {provenance.affectline}, Python {provenance.python}, {versions}"),
    ]
    if provenance.stride_s is not None:
        rows.insert(1, ("Networks run", f"once in {provenance.stride_s:g} s, rows between are interpolated"))
    if provenance.cascade is not None:
        asked, limit = provenance.cascade.backbone, provenance.cascade.sure_from
        rows.insert(-2, ("Asked when unsure", f"{asked}, below {100 * limit:g} %: {provenance.asked_faces or 0} faces"))
    return rows


def smoothing_in_words(smoothing: Smoothing) -> str:
    """Return how far scores were smoothed."""
    if smoothing.longest_s == 0:
        return "none"
    radii = (("valence and arousal", smoothing.va_s), ("expressions", smoothing.expr_s), ("units", smoothing.au_s))
    return f"{smoothing.mode}, radius: " + ", ".join(f"{name} {radius:.2f} s" for name, radius in radii)


def smoothing_limit(smoothing: Smoothing, has_time: bool) -> str:
    """Return what smoothing hides, in a sentence."""
    if not has_time or smoothing.longest_s == 0:
        return "Here nothing was smoothed: single frames are noisy."
    window = smoothing.expr_s * (1 if smoothing.mode == "causal" else 2)
    return f"Here expressions are averaged over {window:.1f} seconds; what lasts a fifth of a second does not survive."


def reduction_note(grid: Grid, left_out: int) -> str:
    """Return what the charts leave out; nothing if they show every frame and track."""
    notes = []
    if grid.is_binned:
        each = (float(grid.edges[-1]) - float(grid.edges[0])) / len(grid)
        frames = len(grid.frames) / len(grid)
        notes.append(
            f"The charts are reduced: each of their {len(grid)} points is the mean of about {frames:.1f} frames "
            f"({each:.2f} s); the bands behind valence and arousal go from the lowest to the highest frame. The tables "
            "beside this page hold every frame."
        )
    if left_out:
        notes.append(f"{left_out} {'track' if left_out == 1 else 'tracks'} with fewer rows are not drawn.")
    return " ".join(notes)


def boxes_note(grid: Grid) -> str:
    """Return why faces are not outlined; nothing if they are."""
    if has_boxes(grid):
        return ""
    return (
        f"Faces are not outlined: the points of the charts are {grid.usual_width:.2f} s apart, and an outline would "
        "lag behind its face."
    )


def pictures_note(shown: int, images: int) -> str:
    """Return how many pictures the page lacks; nothing if it has all."""
    if shown == images:
        return ""
    return f"The page holds the pictures of {shown:,} of the {images:,} images; the numbers are those of all."


def track_fact(
    track: Track, labels: Sequence[Expression], units: Sequence[ActionUnit], moments: Mapping[Moment, str | None]
) -> TrackFact:
    """Return what the page says of a track.

    Args:
        track: the rows.
        labels: the classes of the expression head.
        units: the action units.
        moments: its moments with their pictures, the strongest of each expression first.
    """
    card = card_of(track, units)
    groups = [(label, tuple(_moment(m, moments[m]) for m in moments if m.label is label)) for label in labels]
    order = [word for word, _ in card.shares]
    shown = sorted((group for group in groups if group[1]), key=lambda group: order.index(group[0].value))
    main = next((picture for moment, picture in moments.items() if picture), None)
    return TrackFact(
        name=track.name,
        card=card,
        picture=main,
        stack=_stack(card),
        rest=_rest(card),
        moments=tuple(shown),
        never=tuple(label.value for label in labels if label.value not in order),
    )


def _moment(moment: Moment, picture: str | None) -> MomentFact:
    at = float(moment.frame) if moment.time_s is None else moment.time_s
    when = f"#{moment.frame}" if moment.time_s is None else clock(at, 1 if at < HOUR_S else 0)
    return MomentFact(at, when, moment.probability, picture)


def _stack(card: Card) -> tuple[StackPart, ...]:
    parts, x = [], 0.0
    for word, share in card.shares:
        parts.append(StackPart(round(x, 3), round(100 * share, 3), word_colour(word)))
        x += 100 * share
    return tuple(parts)


def _rest(card: Card) -> str:
    parts = [f"{percent(card.statuses[status] / card.frames)} {words}" for status, words in _RESTS.items()]
    kept = [part for part, status in zip(parts, _RESTS, strict=True) if card.statuses[status]]
    return ", ".join(kept) or f"all {card.frames:,}"


def percent(share: float) -> str:
    """Return a share in percent; what is there, but less than half a percent, is not said to be nothing.

    >>> percent(0.531), percent(0.002)
    ('53 %', '< 1 %')
    """
    rounded = round(100 * share)
    return "< 1 %" if share > 0 and rounded == 0 else f"{rounded} %"


def signed(value: float | None) -> str:
    """Return a number with its sign and two decimals, a dash for none."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def clock(time_s: float, decimals: int = 0) -> str:
    """Return a time as players write it.

    >>> clock(65.25, 1), clock(3605)
    ('1:05.2', '1:00:05')
    """
    whole = round(time_s, decimals)
    minutes, seconds = divmod(whole, _MINUTE_S)
    hours, minutes = divmod(int(minutes), _MINUTE_S)
    width = 3 + decimals if decimals else 2
    tail = f"{seconds:0{width}.{decimals}f}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"
