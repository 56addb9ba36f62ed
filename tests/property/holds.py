"""What holds for each parser whatever it is given. The property tests and the fuzzers share it."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from genvd.collectors.base import CollectorError
from genvd.collectors.genv import state_parser
from genvd.collectors.genv.state_files import StateFile
from genvd.collectors.host import procfs
from genvd.collectors.host.process_environment import ENVIRONMENT_VARIABLE, environment_variable
from genvd.common.text import MAX_TEXT, decode
from genvd.config import web
from genvd.config.loader import ConfigError, load
from genvd.config.schema import Config
from genvd.config.yaml_writer import as_yaml

if TYPE_CHECKING:
    from genvd.model.facts import Attachment, EnvironmentRecord

_LONGEST_ESCAPE = len(r"\U0010ffff")
_LINE = re.compile(r":[1-9][0-9]*: ")
_OF_THE_WHOLE_FILE = "is larger than"


def state(content: bytes, file: Path) -> tuple[tuple[EnvironmentRecord, ...], tuple[Attachment, ...]] | None:
    """A state file with any content gives sound records, or one line that says what is wrong with it.

    Args:
        content: of the file.
        file: where to write it.

    Returns:
        The records; None for a problem.
    """
    file.write_bytes(content)
    try:
        document = StateFile(lambda parsed: parsed).read(file, deadline=0)
    except CollectorError as error:
        assert_is_line(str(error))
        return None
    environments, attachments = state_parser.parse_environments(document), state_parser.parse_attachments(document)
    for environment in environments:
        _assert_sound_environment(environment)
    for attachment in attachments:
        assert_is_label(attachment.eid)
        assert 0 <= attachment.device_index <= state_parser.MAX_DEVICE_INDEX
        _assert_amount(attachment.gpu_memory_bytes)
        _assert_amount(attachment.attached)
    return environments, attachments


def _assert_sound_environment(environment: EnvironmentRecord) -> None:
    for text in (environment.eid, environment.username, environment.name, *environment.kernel_ids):
        if text is not None:
            assert_is_label(text)
    assert all(0 < pid <= procfs.MAX_PID for pid in environment.pids)
    assert environment.uid is None or 0 <= environment.uid < 2**32
    for amount in (environment.gpu_memory_bytes, environment.gpus, environment.created):
        _assert_amount(amount)


def environment_block(block: bytes) -> str | None:
    """An environment block with any content gives the value that counts for a program, fit for a label."""
    value = environment_variable(block, ENVIRONMENT_VARIABLE)
    prefix = ENVIRONMENT_VARIABLE + b"="
    expected = [entry.removeprefix(prefix) for entry in block.split(b"\0") if entry.startswith(prefix)]
    assert value == (expected[-1] if expected else None)
    if not value:
        return None
    eid = decode(value)
    assert_is_label(eid)
    text = value.decode("utf-8", "surrogateescape")
    if len(text) <= MAX_TEXT and text.isprintable() and "\\" not in text:
        assert eid == text
    return eid


def configuration(content: bytes, file: Path) -> Config | None:
    """A configuration file with any content gives a Config that survives being written, or problems with their places.

    Args:
        content: of the file.
        file: where to write it.

    Returns:
        The configuration; None for problems.
    """
    file.write_bytes(content)
    try:
        config = load(file)
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            _assert_has_place(problem, file)
        return None
    file.write_bytes(as_yaml(config).encode())
    assert load(file) == config
    return config


def web_configuration(content: bytes, file: Path) -> None:
    """A web configuration with any content gives settings, or problems with their places.

    Args:
        content: of the file.
        file: where to write it.
    """
    file.write_bytes(content)
    reading = web.read_web_config(file)
    assert reading.files[0] == file
    for problem in reading.problems:
        _assert_has_place(problem, file)
    if reading.problems:
        return
    for name, hashed in reading.config.users.items():
        assert name and ":" not in name and hashed.startswith("$2")
    for name, value in reading.config.headers:
        assert len(f"{name}: {value}".splitlines()) == 1


def _assert_has_place(problem: str, file: Path) -> None:
    assert_is_line(problem)
    said = problem.removeprefix(str(file))
    assert _LINE.match(said) or _OF_THE_WHOLE_FILE in said, problem


def assert_is_line(text: str) -> None:
    """A message is one line that can be shown and sent."""
    text.encode()
    assert text and len(text) < 5000
    assert len(text.splitlines()) == 1 and "\x1b" not in text, repr(text)


def assert_is_label(text: str) -> None:
    """A text from outside is bounded, and fit for labels and terminals."""
    text.encode()
    assert 0 < len(text) <= MAX_TEXT * _LONGEST_ESCAPE
    assert "\n" not in text and "\x1b" not in text and "\0" not in text
    assert all(character.isprintable() or character.isspace() for character in text), repr(text)


def _assert_amount(amount: float | None) -> None:
    assert amount is None or (math.isfinite(amount) and abs(amount) < 2**100)
