"""How a command ends; 0 is success."""

from __future__ import annotations

EXIT_FAILED = 1
"""Some input failed or was incomplete, or the machine or the network denied what was needed."""

EXIT_WRONG_USE = 2
"""What was typed cannot be done."""

EXIT_INTERRUPTED = 130
"""The shells' own number for Ctrl-C."""
