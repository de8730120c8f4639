"""Every error that affectline raises on purpose.

Each leaf also inherits a built-in error, so that callers who know nothing of affectline can catch it. A message
says what failed, the value, what was expected and what to do.
"""

from __future__ import annotations


class AffectlineError(Exception):
    """The common base: catch this to catch everything that affectline raises on purpose."""


class InputError(AffectlineError, ValueError):
    """An argument or option has a value that cannot be used."""


class InputFileError(AffectlineError, OSError):
    """An input file or folder is missing, empty, unreadable or not what its name says."""


class VideoError(InputFileError):
    """A video cannot be opened or holds no picture that can be decoded."""


class OutputError(AffectlineError, OSError):
    """A result cannot be written: no permission, no space, or the place is taken."""


class ShapeError(AffectlineError, ValueError):
    """An array has the wrong shape, dtype or range."""


class UnknownNameError(AffectlineError, LookupError):
    """A model, detector, column or label with that name does not exist."""


class AssetError(AffectlineError, OSError):
    """A model file or clip could not be found, fetched or verified."""


class ModelFileError(AffectlineError, ValueError):
    """A model file is damaged, has the wrong shape or lacks the description that it needs."""


class MissingExtraError(AffectlineError, ImportError):
    """An optional dependency is needed for what was asked; the message names the command that installs it."""


class WorkerError(AffectlineError, RuntimeError):
    """A worker process ended before its work was done: it was killed, or there was no memory left for it."""


class ResumeError(AffectlineError, ValueError):
    """A partial result cannot be continued with the settings that were given."""


def error_named(kind: str, message: str) -> AffectlineError | None:
    """Return an error that another process came upon, by the name of its class; None if there is no such class."""
    known = globals().get(kind)
    return known(message) if isinstance(known, type) and issubclass(known, AffectlineError) else None
