"""``python -m harness``: the command line, where the script ``harness`` is not on the path."""

from harness.cli.main import main

main()
