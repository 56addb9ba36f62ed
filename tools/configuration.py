"""Makes docs/configuration.md and the JSON Schema of monitor.yaml, from its schema and the command line's options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genvd.cli.arguments import parsers
from genvd.config import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTRODUCTION = """\
# Configuration

Made by `make generate` from `genvd/config/schema.py`. The same is in the manual page monitor.yaml(5), in the commented
[sample](../packaging/monitor.yaml) and, for editors, in the [JSON Schema](../packaging/monitor.schema.json).

`/etc/genv/monitor.yaml` is read if it is there; `--config FILE` names another. It is YAML: sections, and in each of
them keys with values. Every section and every key is optional.

```yaml
listen:
  address: 0.0.0.0
collect:
  interval: 1m30s
```

```shell
genv monitor check                      # says all that is wrong, each with its line, and prints what would hold
systemctl reload genv-monitor           # applies it; no scrape is lost
```

The command line wins over the file, and the file over the defaults. A broken file is refused as a whole: a monitor that
runs goes on with what it has, and one that starts does not. A duration is `10s`, `1m30s` or `500ms` with the units
ms, s, m, h and d; a plain number is seconds.
"""

_OPTIONS = """\
## On the command line

`genv monitor COMMAND --help` has all options of a command; they stand before it or after it. These set
a key of the file:

| option | key |
| --- | --- |
"""

_ENVIRONMENT = """\
## Environment variables

| variable | says |
| --- | --- |
| `GENV_TMPDIR` | genv's state directory where `genv.state_directory` is empty, as genv itself takes it |
| `STATE_DIRECTORY` | set by systemd: where `publish.directory` and `ledger.directory` are by default |
| `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `LISTEN_FDS` | set by systemd: whom to tell how it is, and the socket to serve |
"""


def configuration_reference() -> str:
    """Return docs/configuration.md."""
    sections = (_section(name, text) for name, text in schema.SECTIONS.items())
    return "\n".join((_INTRODUCTION, *sections, _OPTIONS + "".join(_option_rows()), _ENVIRONMENT))


def json_schema() -> dict[str, Any]:
    """Return packaging/monitor.schema.json, by which editors complete and check monitor.yaml."""
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
    for action in parsers("genv monitor")[0].options:
        if action.dest in keys:
            yield f"| `{', '.join(action.option_strings)}` | `{keys[action.dest]}` |\n"
