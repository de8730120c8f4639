"""How PyTorch's threads wait for each other."""

from __future__ import annotations

import os


def let_threads_sleep() -> None:
    """Let threads that wait for others sleep, unless the user said otherwise; call it before PyTorch is imported.

    By default they spin, and where another program wants the cores they spin in the way of the thread that they wait
    for: on two cores beside two busy programs a step of training took seven times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
