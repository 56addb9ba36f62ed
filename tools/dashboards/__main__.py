"""Write the dashboards that the package publishes, or check that they are up to date."""

import argparse
import sys
from pathlib import Path

from tools.dashboards.output import differences, write

PUBLISHED = Path(__file__).parents[2] / "genvd/publish/files/grafana/dashboards"


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser("python -m tools.dashboards", description=__doc__, allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the files differ")
    parser.add_argument("--directory", type=Path, default=PUBLISHED, help="default: the package's own")
    arguments = parser.parse_args()
    if not arguments.check:
        write(arguments.directory)
        return 0
    found = list(differences(arguments.directory))
    for line in found:
        print(line)
    if found:
        print("The dashboards are out of date; run: python -m tools.dashboards", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
