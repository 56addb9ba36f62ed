"""What the service imports at its start, before anybody asks for a page."""

from __future__ import annotations

import subprocess
import sys

LATER = {"genvd.overview", "genvd.web.plain_page", "genvd.ledger.demo_past", "genvd.collectors.demo.machine"}


def test_what_only_the_page_and_the_demo_need_is_not_imported_at_the_start() -> None:
    code = "import sys, genvd.service.daemon, genvd.cli.commands; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "genvd.web.site" in imported
    assert not LATER & imported
