"""``python -m genvd`` is ``genv-monitor``."""

from genvd.cli.commands import main

main()
