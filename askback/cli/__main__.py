"""`python -m askback.cli`."""

from askback.cli import main

main()
