"""``python -m tools.fuzz [--seconds N] [TARGET]...``: fuzz each target; exit status 1 for a finding.

Corpus and findings are kept in build/fuzz/. ``python -m tools.fuzz.harness TARGET FILE`` reproduces a finding.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.fuzz.harness import TARGETS

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "fuzz"

_LIMITS = ("-max_len=4096", "-timeout=10", "-rss_limit_mb=1024")


def main(arguments: list[str] | None = None) -> int:
    """Fuzz one target after the other; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="duration for each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(TARGETS)}; default: all")
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    failed = [target for target in options.targets or TARGETS if _fuzz(target, options.seconds) != 0]
    for target in failed:
        print(f"{target}: a finding; the input is in {BUILD}/", file=sys.stderr)
    return int(bool(failed))


def _fuzz(target: str, seconds: int) -> int:
    command = [sys.executable, "-m", "tools.fuzz.harness", target, f"-max_total_time={seconds}"]
    return run([*command, *inputs(target, BUILD)]).returncode


def run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Run a harness with a temporary directory, in memory if possible, and remove it afterwards."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="genv-monitor-fuzz-", dir=memory) as directory:
        return subprocess.run(command, env={**os.environ, "TMPDIR": directory}, check=False)


def inputs(target: str, directory: Path) -> list[str]:
    """Return the options of libFuzzer for seeds, dictionary, corpus and findings."""
    corpus = directory / target
    corpus.mkdir(parents=True, exist_ok=True)
    words = HERE / "words" / f"{target}.dict"
    return [
        *_LIMITS,
        f"-dict={words}",
        f"-artifact_prefix={directory}/{target}-",
        str(corpus),
        str(HERE / "seeds" / target),
    ]


if __name__ == "__main__":
    sys.exit(main())
