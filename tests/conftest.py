"""Fixtures that several test modules share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from browser import chromium, visit  # noqa: F401 - fixtures

with suppress(ImportError):  # the environment of `make test-finetune` has no hypothesis
    from hypothesis import settings

    # Tests assert no times: a busy machine is no fault.
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")


@pytest.fixture(scope="session")
def task_file() -> Path:
    """MediaPipe's face_landmarker.task, fetched like a user's."""
    from affectline.assets import fetch

    return fetch("face_landmarker")


@pytest.fixture(scope="session")
def demo_clip() -> Path:
    """The demo clip, fetched like a user's: 472 frames, 640x360, one person going from sad to happy."""
    from affectline.assets import fetch

    return fetch("demo_clip")


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A Ray cluster with two slots, of real worker processes.

    No longer than one module: a process whose cluster has died is ended by Ray at once and without a word.
    """
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()
