"""``python -m genvd`` is ``genv-monitor``."""

import sys

from genvd.cli.commands import main

sys.exit(main())
