"""Makes sure, before anybody uploads, that the models of a service are there and go together.

The networks are loaded in a child process that ends at once (`python -m affectline.service.model_check`): the service
itself never needs them.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import NoReturn

from affectline.errors import AffectlineError, ModelFileError, error_named
from affectline.json_records import read_record, to_json_object
from affectline.service.settings import AnalysisChoice

logger = logging.getLogger(__name__)


def check_models(choice: AnalysisChoice) -> None:
    """Load what every analysis will load, fetching what is not on this machine yet.

    Args:
        choice: what every analysis looks for.

    Raises:
        AffectlineError: of any kind that `affectline.models.load_models` raises.
    """
    command = [sys.executable, "-m", __name__]
    told = json.dumps(to_json_object(choice))
    with TemporaryDirectory() as empty:  # modules that lie in the folder of the user are none of ours
        ended = subprocess.run(  # noqa: S603 - Python and a module of ours
            command, input=told, capture_output=True, text=True, encoding="utf-8", check=False, cwd=empty
        )
    if ended.returncode:
        _raise(ended)


def _raise(ended: subprocess.CompletedProcess[str]) -> NoReturn:
    try:
        fault = json.loads(ended.stdout.splitlines()[-1])
        known = error_named(fault["kind"], fault["detail"])
    except (IndexError, ValueError, KeyError, TypeError):
        known = None
    if known is not None:
        raise known
    logger.warning("loading the models said: %s", ended.stderr)
    raise ModelFileError(
        f"loading the models ended with code {ended.returncode}; `affectline doctor` tells what works here"
    )


def main() -> int:
    """Load the models of the choice on stdin; tell the error on stdout."""
    from affectline.describe import finish_settings
    from affectline.models import load_models

    options = read_record(AnalysisChoice, json.load(sys.stdin), "the choice").options()
    try:
        finish_settings(options, load_models(options))
    except AffectlineError as error:
        sys.stdout.write(f"\n{json.dumps({'kind': type(error).__name__, 'detail': str(error)})}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
