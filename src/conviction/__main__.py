"""``python -m conviction``."""

from conviction.cli.main import main

main()
