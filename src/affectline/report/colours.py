"""The colours of the picture and of the annotated video: one for each expression, one for each track.

The expressions follow Okabe and Ito's palette for colour-blind readers (Wong 2011, Nature Methods 8, 441), with
its black, which a dark video would swallow, replaced by a purple and with two neutral tones added.
"""

from __future__ import annotations

from affectline.labels import UNCERTAIN, Expression

RGB = tuple[int, int, int]

EXPRESSION_RGB: dict[Expression, RGB] = {
    Expression.ANGER: (213, 94, 0),
    Expression.CONTEMPT: (204, 121, 167),
    Expression.DISGUST: (0, 158, 115),
    Expression.FEAR: (86, 44, 140),
    Expression.HAPPINESS: (240, 190, 40),
    Expression.NEUTRAL: (190, 190, 190),
    Expression.SADNESS: (0, 114, 178),
    Expression.SURPRISE: (86, 180, 233),
    Expression.OTHER: (110, 80, 60),
}

UNCERTAIN_RGB: RGB = (245, 245, 245)
"""What a row gets whose expression is too close to call, or missing."""

# Paul Tol's "muted" scheme (SRON/EPS/TN/09-002, 2021), the tones dark enough to carry white letters.
_TRACK_RGB: tuple[RGB, ...] = (
    (51, 34, 136),
    (136, 34, 85),
    (17, 119, 51),
    (120, 110, 20),
    (170, 68, 153),
    (30, 110, 120),
    (150, 60, 70),
    (70, 70, 70),
)

_SRGB_LINEAR_UP_TO = 0.04045

VALENCE_RGB: RGB = (11, 60, 93)
AROUSAL_RGB: RGB = (224, 122, 31)


def expression_rgb(label: str | None) -> RGB:
    """Return the colour of an expression by the word in the table; `uncertain` and None have one too.

    Raises:
        ValueError: the word is no expression.
    """
    if label is None or label == UNCERTAIN:
        return UNCERTAIN_RGB
    return EXPRESSION_RGB[Expression(label)]


def track_rgb(track_id: int) -> RGB:
    """Return the colour of a track, dark enough for white letters; after eight tracks they come round again."""
    return _TRACK_RGB[(track_id - 1) % len(_TRACK_RGB)]


def text_rgb(background: RGB) -> RGB:
    """Return black or white, whichever reads better on a background (WCAG 2.2 relative luminance)."""
    linear = [_linear(value / 255) for value in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # Contrast with black and with white is equal where (L + 0.05)^2 = 1.05 * 0.05.
    return (0, 0, 0) if (luminance + 0.05) ** 2 > 1.05 * 0.05 else (255, 255, 255)


def to_unit(rgb: RGB) -> tuple[float, float, float]:
    """Return a colour with parts in [0, 1], as matplotlib wants it."""
    return rgb[0] / 255, rgb[1] / 255, rgb[2] / 255


def lighten(rgb: RGB, share: float) -> RGB:
    """Return a colour moved towards white by a share in [0, 1]."""
    red, green, blue = (round(value + (255 - value) * share) for value in rgb)
    return red, green, blue


def darken(rgb: RGB, share: float) -> RGB:
    """Return a colour moved towards black by a share in [0, 1]."""
    red, green, blue = (round(value * (1 - share)) for value in rgb)
    return red, green, blue


def _linear(value: float) -> float:
    """Return what share of the light a part of an sRGB colour stands for (IEC 61966-2-1); both in [0, 1]."""
    return value / 12.92 if value <= _SRGB_LINEAR_UP_TO else float(((value + 0.055) / 1.055) ** 2.4)
