"""What the service imports at its start."""

from __future__ import annotations

import subprocess
import sys

DEMO = {"genvd.ledger.demo_past", "genvd.collectors.demo.machine"}


def test_what_only_the_demo_needs_is_not_imported() -> None:
    code = "import sys, genvd.service.daemon, genvd.cli.commands; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "genvd.web.site" in imported
    assert not DEMO & imported
