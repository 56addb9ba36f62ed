"""``python -m tools.scaling``: writes the tables of docs/scaling.md, and prints the disk space of samples."""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from tools.scaling.measure import bytes_per_sample
from tools.scaling.tables import TABLES, table

DOCUMENT = Path(__file__).parents[2] / "docs" / "scaling.md"


def between(name: str) -> re.Pattern[str]:
    """Return a pattern that matches a table of the document."""
    return re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->\n)", re.DOTALL)


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m tools.scaling", description=__doc__)
    parser.parse_args()
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in TABLES:
        made = table(name)
        print(f"{name}\n\n{made}")
        text = between(name).sub(lambda match, made=made: match[1] + made + match[2], text)  # type: ignore[misc]
    DOCUMENT.write_text(text, encoding="utf-8")
    for interval in (15, 60):
        with tempfile.TemporaryDirectory(prefix="genv-monitor-scaling-") as name:
            size = bytes_per_sample(Path(name), devices=8, interval=interval)
            print(f"a sample each {interval} s takes {size:.2f} bytes in a block of two hours")


if __name__ == "__main__":
    main()
