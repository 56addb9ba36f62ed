"""Prints the manual page monitor.yaml(5) from genvd/config/schema.py: ``monitor_yaml.py VERSION DATE``."""

import sys

from genvd.config import schema


def page(version: str, date: str) -> str:
    """Return the manual page.

    Args:
        version: version of the package.
        date: date of the page, such as ``2026-11-23``.
    """
    settings = "".join(
        f".SS {escaped(section)}\n{escaped(text)}\n"
        + "".join(_entry(setting) for setting in schema.settings() if setting.section == section)
        for section, text in schema.SECTIONS.items()
    )
    return TEMPLATE.format(
        version=version,
        date=date,
        file=escaped(str(schema.DEFAULT_FILE)),
        settings=settings,
        sample=escaped(SAMPLE),
    )


def escaped(text: str) -> str:
    """Return a line of text with the special characters of roff escaped."""
    for character, written in (
        ("\\", "\\e"),
        ("-", "\\-"),
        ("'", "\\(aq"),
        ("`", "\\(ga"),
        ("^", "\\(ha"),
        ("~", "\\(ti"),
    ):
        text = text.replace(character, written)
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in text.split("\n"))


def _entry(setting: schema.Setting) -> str:
    return (
        f".TP\n.B {escaped(setting.section)}.{escaped(setting.key)}\n{escaped(setting.description)}\n"
        f"Takes {escaped(setting.expected)}.\nDefault: {escaped(setting.default_text or 'empty')}.\n"
    )


SAMPLE = """\
listen:
  address: 0.0.0.0
collect:
  interval: 1m30s
publish:
  prometheus_url: http://prometheus.example.org:9090"""

TEMPLATE = """\
.\\" Made by packaging/man/monitor_yaml.py from genvd/config/schema.py.
.TH MONITOR.YAML 5 "{date}" "genv\\-monitor {version}" "File formats"
.SH NAME
monitor.yaml \\- configuration of genv\\-monitor
.SH SYNOPSIS
.I {file}
.SH DESCRIPTION
The configuration of
.BR genv\\-monitor (8),
in YAML: sections, which contain keys with values.
The file, every section and every key are optional; a missing key has its default.
The command line takes precedence over the file.
.P
A duration is written as
.BR 10s ,
.B 1m30s
or
.BR 500ms ;
the units are ms, s, m, h and d.
A plain number is seconds.
.P
The file is read when the monitor starts and at a reload.
All problems are reported at once, each on a line that begins with the file name and the line number:
unknown or duplicate keys, values of a wrong type or out of range, and values that contradict each other.
A monitor does not start with an invalid file.
A running monitor keeps its configuration, logs the problems, and sets the metric
.B genv_monitor_config_last_reload_successful
to 0.
.P
.B genv\\-monitor check
checks the file and prints the effective configuration.
.B systemctl reload genv\\-monitor
applies it; no scrape fails.
.SH SETTINGS
{settings}.SH FILES
.TP
.I {file}
The default configuration file.
.TP
.I /usr/share/genv\\-monitor/monitor.schema.json
The JSON Schema of the file, for editors.
For editors that use yaml\\-language\\-server, the first line of the file can be
.IP
.EX
# yaml\\-language\\-server: $schema=/usr/share/genv\\-monitor/monitor.schema.json
.EE
.SH NOTES
With
.B genv\\-monitor\\-sealed.service
the socket comes from
.BR genv\\-monitor\\-sealed.socket ,
and
.B listen.address
and
.B listen.port
have no effect.
Change the address with
.BR "systemctl edit genv\\-monitor\\-sealed.socket" .
.SH EXAMPLES
For a Prometheus on another machine, with a longer interval:
.P
.EX
{sample}
.EE
.SH SEE ALSO
.BR genv\\-monitor (8),
.BR systemd.socket (5)
"""

if __name__ == "__main__":
    sys.stdout.write(page(*sys.argv[1:]))
