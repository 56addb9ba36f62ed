"""Makes docs/configuration.md and the JSON Schema of monitor.yaml, from its schema and the command line's options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genvd.cli.arguments import build_parsers
from genvd.config import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTRODUCTION = """\
# Configuration

Made by `make generate` from `genvd/config/schema.py`. The same is in the manual page monitor.yaml(5), in the commented
[sample](../packaging/monitor.sample.yaml) and, for editors, in the [JSON Schema](../packaging/monitor.schema.json).

The configuration file is `/etc/genv/monitor.yaml`, if it exists; `--config FILE` reads another file. It is YAML:
sections that contain keys with values. Every section and every key is optional.

```yaml
listen:
  address: 0.0.0.0
collect:
  interval: 1m30s
```

```shell
genv-monitor check                      # prints every problem with its line, or the resulting configuration
systemctl reload genv-monitor           # applies the file; no scrape is lost
```

The command line overrides the file, and the file overrides the defaults. A file with a problem is not applied
at all: a running monitor keeps its previous configuration, and a new one does not start. A duration is `10s`,
`1m30s` or `500ms`, with the units ms, s, m, h and d; a plain number is seconds.
"""

_OPTIONS = """\
## On the command line

`genv-monitor COMMAND --help` shows all options of a command. An option may come before or after the command. These
options set a key of the file:

| option | key |
| --- | --- |
"""

_ENVIRONMENT = """\
## Environment variables

| variable | meaning |
| --- | --- |
| `GENV_TMPDIR` | genv's state directory if `genv.state_directory` is empty; genv uses the same variable |
| `STATE_DIRECTORY` | set by systemd: the default location of `publish.directory` and `ledger.directory` |
| `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `LISTEN_FDS`, `LISTEN_FDNAMES` | set by systemd: readiness, watchdog, sockets |
"""


def configuration_reference() -> str:
    """Return docs/configuration.md."""
    sections = (_section(name, text) for name, text in schema.SECTIONS.items())
    return "\n".join((_INTRODUCTION, *sections, _OPTIONS + "".join(_option_rows()), _ENVIRONMENT))


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema with which editors complete and check monitor.yaml."""
    sections: dict[str, Any] = {
        name: {
            "type": ["object", "null"],
            "description": text,
            "additionalProperties": False,
            "properties": {},
        }
        for name, text in schema.SECTIONS.items()
    }
    for setting in schema.settings():
        typed = isinstance(setting.default, int | bool)
        shown = setting.default if typed else [] if setting.kind.item else setting.default_text
        sections[setting.section]["properties"][setting.key] = {
            "description": setting.description,
            "default": shown,
            **setting.kind.schema,
        }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of genv-monitor",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": sections,
    }


def _section(name: str, text: str) -> str:
    rows = "".join(_row(setting) for setting in schema.settings() if setting.section == name)
    return f"## {name}\n\n{text}\n\n| key | default | meaning |\n| --- | --- | --- |\n{rows}"


def _row(setting: schema.Setting) -> str:
    default = f"`{setting.default_text}`" if setting.default_text else "empty"
    meaning = f"{setting.description} Takes {setting.expected}.".replace("|", "\\|")
    return f"| `{setting.section}.{setting.key}` | {default} | {meaning} |\n"


def _option_rows() -> Iterator[str]:
    keys = {setting.field: f"{setting.section}.{setting.key}" for setting in schema.settings()}
    for action in build_parsers("genv-monitor")[0].options:
        if action.dest in keys:
            yield f"| `{', '.join(action.option_strings)}` | `{keys[action.dest]}` |\n"
