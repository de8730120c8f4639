"""Run the command line: `python -m affectline`."""

from affectline.cli.main import run

run()
