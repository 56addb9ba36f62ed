"""``python -m tools.links``: what leads nowhere, on this tree and on other sites; ``make links`` runs it."""

from __future__ import annotations

import sys

from tools.links import inside, outside


def main() -> int:
    """Print what leads nowhere; return the exit status."""
    found = inside.problems()
    for problem in found:
        print(problem)
    for link in outside.links():
        answer = outside.problem_of(link)
        print(f"{link}: {answer or 'ok'}")
        if answer:
            found.append(link)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
