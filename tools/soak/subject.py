"""The measured process of the soak test: the monitor and its HTTP server.

It prints its port. For each number on its standard input it runs that many ticks as fast as possible, and prints the
number. It ends with its standard input.
"""

from __future__ import annotations

import argparse
import sys

from genvd.collectors.registry import make_collectors
from genvd.config.schema import Config
from genvd.service import logging_setup, process
from genvd.service.monitor import Monitor
from genvd.web.http_server import Server
from genvd.web.listening import listen
from genvd.web.security import Security, load_web_config


def main(arguments: list[str] | None = None) -> None:
    """Serve, and run ticks on request."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak.subject", description=__doc__)
    parser.add_argument("--demo", type=int, help="number of GPUs of a simulated machine; default: this machine")
    options = parser.parse_args(arguments)
    logging_setup.set_up("error")
    config = Config()
    monitor = Monitor(config, make_collectors(config, options.demo))
    server = Server(monitor.site, Security(load_web_config(None)), listen("127.0.0.1", 0))
    server.start()
    process.tune_interpreter()
    print(server.port, flush=True)
    for line in sys.stdin:
        for _ in range(int(line)):
            monitor.tick(0)
        print(int(line), flush=True)


if __name__ == "__main__":
    main()
