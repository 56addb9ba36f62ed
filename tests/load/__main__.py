"""Prints what 2,000 bad connections cost 200 good scrapers: ``python -m tests.load [--seconds N]``.

The exit status is 1 if a single scrape was lost, or the monitor took more than 150 MiB.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from base64 import b64encode
from collections import Counter
from pathlib import Path

import bcrypt
import pytest

from tests.load.bad import Bad
from tests.load.good import Figures, scrape_all
from tests.support.certificates import issue, trusting
from tests.support.monitor import Monitor
from tests.support.scarcity import many_descriptors
from tests.support.waiting import wait_for

MOST_MIB = 150.0
"""Resident memory of the monitor."""


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--good", type=int, default=200, help="scrapers, each at one scrape a second")
    parser.add_argument("--bad", type=int, default=2000, help="connections")
    parser.add_argument("--tls", action="store_true", help="serve HTTPS, and want a password")
    parser.add_argument("--devices", default="8", help="of the simulated machine")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as name:
            return _run(Path(name), options)
    except pytest.skip.Exception as error:  # as it is in a test
        print(error, file=sys.stderr)
        return 1


def _run(directory: Path, options: argparse.Namespace) -> int:
    arguments = ["--demo", options.devices, "-i", "1", "--config-dir", directory]
    tls, headers = None, {}
    if options.tls:
        certificate = issue(directory, "server")
        hashed = bcrypt.hashpw(b"load", bcrypt.gensalt(10)).decode()
        (directory / "web.yml").write_text(
            "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
            f"basic_auth_users: {{load: '{hashed}'}}\n"
        )
        (directory / "monitor.yaml").write_text(f"listen: {{web_config_file: {directory}/web.yml}}\n")
        arguments += ["-c", directory / "monitor.yaml"]
        tls, headers = trusting(certificate), {"Authorization": f"Basic {b64encode(b'load:load').decode()}"}
    with Monitor(arguments, tls=tls, headers=headers) as monitor:
        figures = load(monitor, options.good, options.bad, options.seconds)
        assert "Traceback" not in monitor.log, monitor.log
    return int(bool(figures.lost) or not figures.latencies or figures.resident_mib > MOST_MIB)


def load(monitor: Monitor, good: int, bad: int, seconds: float) -> Figures:
    """Put the load on a monitor, and print the figures."""
    with many_descriptors(good + bad):
        return _load(monitor, good, bad, seconds)


def _load(monitor: Monitor, good: int, bad: int, seconds: float) -> Figures:
    address = (monitor.host, monitor.port)
    print(f"before: {_costs(monitor)}")
    nuisance = Bad(address, bad)
    nuisance.start()
    wait_for(nuisance.all_open.is_set, "all bad connections are open")
    print(f"{bad} bad: {_costs(monitor)}")
    figures = asyncio.run(
        scrape_all(address, good, seconds, tls=monitor.tls, authorization=monitor.headers.get("Authorization"))
    )
    figures.resident_mib = _resident_mib(monitor)
    print(f"at the end of it: {_costs(monitor)}; {nuisance.made} bad connections were made")
    nuisance.end()
    wait_for(lambda: _descriptors(monitor) < 100, "all connections are gone")
    print(f"after: {_costs(monitor)}")
    milliseconds = {share: figures.percentile(share) * 1000 for share in (0.5, 0.9, 0.99, 0.999, 1.0)}
    shown = ", ".join(f"{share:.1%} {value:.1f} ms" for share, value in milliseconds.items())
    print(f"scrapes {figures.scrapes}, lost {len(figures.lost)}; latency: {shown}")
    for reason, number in Counter(figures.lost).most_common(5):
        print(f"  lost {number}: {reason}")
    return figures


def _costs(monitor: Monitor) -> str:
    return f"{_resident_mib(monitor):.1f} MiB resident, {monitor.threads} threads, {_descriptors(monitor)} descriptors"


def _resident_mib(monitor: Monitor) -> float:
    status = Path(f"/proc/{monitor.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _descriptors(monitor: Monitor) -> int:
    return len(list(Path(f"/proc/{monitor.process.pid}/fd").iterdir()))


if __name__ == "__main__":
    sys.exit(main())
