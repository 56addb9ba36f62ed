"""``python -m tools.links``: checks the links of the documents, in this tree and to other sites (``make links``)."""

from __future__ import annotations

import sys

from tools.links import inside, outside


def main() -> int:
    """Print broken links; return the exit status."""
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
