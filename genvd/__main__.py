"""``python -m genvd`` is ``genv-monitor``."""

import sys

from genvd.cli import main

sys.exit(main())
