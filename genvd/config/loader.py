"""Loads monitor.yaml into a Config, and reports all problems together, each with its line."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from genvd.common.text import clean
from genvd.config.conflicts import find_conflicts, with_fitting_defaults
from genvd.config.schema import SECTIONS, Config, Setting, settings
from genvd.config.yaml_reader import ConfigError as ConfigError
from genvd.config.yaml_reader import compose, describe_unexpected, is_null, suggest_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class _Problem(NamedTuple):
    line: int
    text: str


def load(path: Path | None, overrides: dict[str, Any] | None = None) -> Config:
    """Return the configuration: the defaults, overridden by the file, overridden by the command line.

    Args:
        path: the file, if any.
        overrides: fields of :class:`Config` that the command line sets.

    Raises:
        ConfigError: the file cannot be read, or contains a problem.
    """
    try:
        return _loaded(path, overrides)
    except ConfigError:
        raise
    except Exception as error:  # no file may end a service that reloads it
        raise ConfigError([describe_unexpected(path or "command line", error)]) from None


def _loaded(path: Path | None, overrides: dict[str, Any] | None) -> Config:
    if path is None:
        return _checked("command line", Config(), {}, overrides)
    reader = _Reader(compose(path))
    values = reader.values()
    if reader.problems:
        problems = sorted(reader.problems, key=lambda problem: problem.line)
        raise ConfigError([f"{path}:{problem.line}: {problem.text}" for problem in problems])
    return _checked(str(path), Config(**values), reader.lines, overrides)


def parse_option(field: str, text: str) -> Any:
    """Return the value of a field of :class:`Config` from text on the command line.

    Raises:
        ValueError: the text is not a valid value; the message says what was expected.
    """
    return next(setting for setting in settings() if setting.field == field).kind.parse(text)


def _checked(place: str, config: Config, lines: dict[str, int], overrides: dict[str, Any] | None) -> Config:
    overrides = overrides or {}
    config = dataclasses.replace(config, **overrides)
    problems = []
    for field, text in find_conflicts(config, lines.keys() - overrides.keys()):
        where = f"{place}:{lines[field]}" if field in lines else place
        problems.append(f"{where}: {field.replace('_', '.', 1)}: {text}")
    if problems:
        raise ConfigError(problems)
    return with_fitting_defaults(config, {*lines, *overrides})


class _Reader:
    """Reads the values of a YAML document according to the schema, and collects all problems."""

    def __init__(self, root: yaml.Node | None) -> None:
        self.problems: list[_Problem] = []
        self.lines: dict[str, int] = {}
        """The line number of each field of :class:`Config` that the document sets."""
        self._root = root
        self._settings = {(setting.section, setting.key): setting for setting in settings()}

    def values(self) -> dict[str, Any]:
        """Return the fields of :class:`Config` that the document sets, with their values."""
        values: dict[str, Any] = {}
        for section, node in self._mapping(self._root, "", list(SECTIONS)):
            keys = [key for its_section, key in self._settings if its_section == section]
            for key, value in self._mapping(node, section, keys):
                self._value(self._settings[section, key], value, values)
        return values

    def _mapping(self, node: yaml.Node | None, name: str, known: list[str]) -> list[tuple[str, yaml.Node]]:
        if node is None or is_null(node):
            return []
        if not isinstance(node, yaml.MappingNode):
            expected = f"expected keys such as {known[0]}"
            self._problem(node, f"{name or 'the file'}{':' if name else ''} is not a mapping; {expected}")
            return []
        entries: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            full_name = f"{name}.{clean(key)}" if name else clean(key)
            if key not in known:
                self._problem(key_node, f"{full_name}: unknown key; {suggest_key(key, known)}")
            elif key in entries:
                self._problem(key_node, f"{full_name}: duplicate key; expected only one")
            else:
                entries[key] = value
        return list(entries.items())

    def _value(self, setting: Setting, node: yaml.Node, values: dict[str, Any]) -> None:
        if is_null(node):
            return
        self.lines[setting.field] = node.start_mark.line + 1
        if setting.kind.item and isinstance(node, yaml.SequenceNode):
            values[setting.field] = self._list(setting, setting.kind.item, node.value)
        else:
            values[setting.field] = self._scalar(setting, setting.kind.parse, node)

    def _list(self, setting: Setting, read: Callable[[str], Any], nodes: list[yaml.Node]) -> tuple[Any, ...]:
        """Return the values of a list. Each problem has the line of its item."""
        found = [(node, value) for node in nodes if (value := self._scalar(setting, read, node)) is not None]
        seen = set()
        for node, value in found:
            if value in seen:
                self._problem(node, f"{setting.section}.{setting.key}: duplicate value {value!r}; expected only one")
            seen.add(value)
        return tuple(value for _, value in found)

    def _scalar(self, setting: Setting, read: Callable[[str], Any], node: yaml.Node) -> Any:
        """Return the value of a node; None, with a problem added, if it is invalid."""
        try:
            # No setting allows a null byte, so the error says what is expected instead of a list.
            return read(str(node.value) if isinstance(node, yaml.ScalarNode) else "\0")
        except ValueError as error:
            shown = repr(node.value[:60]) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
            self._problem(node, f"{setting.section}.{setting.key}: {shown} is wrong; {error}")
            return None

    def _problem(self, node: yaml.Node, text: str) -> None:
        self.problems.append(_Problem(node.start_mark.line + 1, text))
