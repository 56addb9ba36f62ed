"""The Debian package, as lintian judges it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.needs import need_command

OPTIONS = ("--pedantic", "--display-info", "--fail-on", "error,warning,info,pedantic", "--allow-root")


def test_lintian_has_nothing_to_say(package: Path) -> None:
    lintian = need_command("lintian", "lintian")
    result = subprocess.run([lintian, *OPTIONS, package], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")
