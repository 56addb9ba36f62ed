"""What the program's exit status says."""

from __future__ import annotations

OK = 0
"""Asked to stop, or done."""

FAILED = 1
"""Could not run."""

WRONG = 2
"""Wrong command line or configuration."""

START_AGAIN = 75
"""A new process is needed (EX_TEMPFAIL of sysexits.h); the units have it started."""
