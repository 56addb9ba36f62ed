"""Reads typed values from YAML nodes of a web configuration, and collects problems with their line numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from genvd.common.text import clean
from genvd.config import go_yaml
from genvd.config.yaml_reader import STR_TAG, is_null, suggest_key

if TYPE_CHECKING:
    from pathlib import Path

_OR_EMPTY = frozenset({"cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file", "client_auth_type"})
"""Keys of tls_server_config for which an empty string means the same as a missing key."""

_Value = TypeVar("_Value")

Read = Callable[[yaml.Node, str], Any]
"""Returns the value of a node; the string is the name of its key, for error messages."""


class Reader:
    """Converts nodes to values, and collects the problems."""

    def __init__(self, path: Path, root: yaml.Node | None) -> None:
        """Create a reader. Paths in the document are relative to the directory of the file ``path``."""
        self.problems: list[tuple[int, str]] = []
        """The line number and the text of each problem."""
        self._directory = path.parent
        self._root = root

    # --- Values ----------------------------------------------------------------------------------------------

    def _text(self, node: yaml.Node, name: str) -> str | None:
        return self._convert(go_yaml.text, node, name, "text")

    def _boolean(self, node: yaml.Node, name: str) -> bool | None:
        return self._convert(go_yaml.boolean, node, name, "true or false")

    def _duration(self, node: yaml.Node, name: str) -> float | None:
        return self._convert(go_yaml.duration, node, name, "a duration such as 1s or 500ms")

    def _count(self, node: yaml.Node, name: str) -> int | None:
        def count(node: yaml.Node) -> int:
            if (value := go_yaml.integer(node)) < 0:
                raise ValueError("negative")
            return value

        return self._convert(count, node, name, "a whole number")

    def _convert(self, convert: Callable[[yaml.Node], _Value], node: yaml.Node, name: str, what: str) -> _Value | None:
        try:
            return convert(node)
        except ValueError:
            self._wrong_value(node, name, f"expected {what}")
            return None

    def _one_of(self, *words: str) -> Read:
        def read(node: yaml.Node, name: str) -> str | None:
            with suppress(ValueError):
                if (word := go_yaml.text(node)) in words:
                    return word
            self._wrong_value(node, name, f"expected one of {', '.join(words)}")
            return None

        return read

    def _list(self, read: Read) -> Read:
        def read_all(node: yaml.Node, name: str) -> list[Any]:
            if not isinstance(node, yaml.SequenceNode):
                self._wrong_value(node, name, "expected a list")
                return []
            return [read(each, name) for each in node.value]

        return read_all

    # --- Structure -------------------------------------------------------------------------------------------

    def _mapping(
        self, node: yaml.Node | None, name: str, known: dict[str, Read]
    ) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the values and the line numbers of the keys that are set."""
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, line, value in self._items(node, name):
            full_name = f"{name}.{clean(key)}" if name else clean(key)
            if key not in known:
                self._problem(line, f"{full_name}: unknown key; {suggest_key(key, list(known))}")
            elif key in lines:
                self._problem(line, f"{full_name}: duplicate key; expected only one")
            elif not is_null(value) and not (key in _OR_EMPTY and _is_empty_text(value)):
                lines[key] = line
                result = known[key](value, full_name)
                if result is not None:
                    values[key] = result
        return values, lines

    def _items(self, node: yaml.Node | None, name: str) -> list[tuple[str, int, yaml.Node]]:
        if is_null(node):
            return []
        assert node
        if not isinstance(node, yaml.MappingNode):
            self._problem(line_of(node), f"{name or 'the file'}{':' if name else ''} is not a mapping; expected keys")
            return []
        items = []
        for key, value in node.value:
            try:
                items.append((self._key(key), line_of(key), value))
            except ValueError as error:
                self._problem(line_of(key), f"{name or 'the file'}: {error}")
        return items

    @staticmethod
    def _key(node: yaml.Node) -> str:
        """Return a key; raise ValueError with the problem if it is not a string."""
        if isinstance(node, yaml.ScalarNode) and node.value == "<<" and node.style is None:
            raise ValueError("has a merge key (<<), which is not supported; write the merged keys here")
        try:
            return go_yaml.text(node)
        except ValueError:
            raise ValueError("has a key that is not text; write a name before the colon") from None

    def _has_empty_text(self, node: yaml.Node) -> bool:
        return isinstance(node, yaml.MappingNode) and any(_is_empty_text(value) for _, value in node.value)

    def _keys_with_problems(self, lines: dict[str, int]) -> set[str]:
        """Return the keys for which a problem was found already."""
        found = {line for line, _ in self.problems}
        return {key for key, line in lines.items() if line in found}

    def _wrong_value(self, node: yaml.Node, name: str, expected: str) -> None:
        shown = repr(node.value[:60]) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
        if isinstance(node, yaml.ScalarNode) and node.tag != STR_TAG:
            shown = "a value with a tag"
        elif isinstance(node, yaml.ScalarNode) and "-----BEGIN" in node.value:
            shown = "text in PEM form"  # it may be a private key, and everybody may read the message
        self._problem(line_of(node), f"{name}: {shown} is wrong; {expected}")

    def _problem(self, line: int, text: str) -> None:
        self.problems.append((line, text))


def _is_empty_text(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not is_null(node) and not node.value


def line_of(node: yaml.Node) -> int:
    """Return the line number of a node, from 1."""
    return int(node.start_mark.line) + 1
