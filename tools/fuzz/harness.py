"""``python -m tools.fuzz.harness TARGET [OPTION of libFuzzer]...``: fuzz one target, in this process."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

TARGETS = ("state", "environment", "configuration", "web_configuration")

_INSTRUMENTED = ["genvd", "yaml"]


def main(arguments: list[str], prepare: Callable[[], object] = lambda: None) -> None:
    """Fuzz until libFuzzer ends the process; its exit status is not 0 for a finding.

    Args:
        arguments: the target, and options of libFuzzer.
        prepare: called after all imports.
    """
    import atheris

    with atheris.instrument_imports(include=_INSTRUMENTED):
        from tests.property import holds
    prepare()
    target, *options = arguments
    file = Path(tempfile.mkdtemp()) / target  # libFuzzer ends the process, so the caller removes it
    targets: dict[str, Callable[[bytes], Any]] = {
        "state": partial(holds.state, file=file),
        "environment": holds.environment_block,
        "configuration": partial(holds.configuration, file=file),
        "web_configuration": partial(holds.web_configuration, file=file),
    }
    check = targets[target]

    def one_input(content: bytes) -> None:
        check(content)

    atheris.Setup([sys.argv[0], *options], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
