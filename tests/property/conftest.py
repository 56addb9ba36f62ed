"""How hard these tests try: the same few hundred examples each time, or as many new ones as somebody wants.

``GENV_EXAMPLES=20000 python -m pytest tests/property`` looks for so many.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_EXAMPLES = os.environ.get("GENV_EXAMPLES")

settings.register_profile(
    "bounded",
    max_examples=int(_EXAMPLES or 200),
    derandomize=not _EXAMPLES,
    database=None,
    deadline=None,  # says nothing on a machine that is busy
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("bounded")
