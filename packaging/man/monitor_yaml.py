"""Prints monitor.yaml(5), made from the settings in genvd/config/schema.py: ``monitor_yaml.py VERSION DATE``."""

import sys

from genvd.config import schema


def page(version: str, date: str) -> str:
    """Return the manual page.

    Args:
        version: of the package.
        date: of the page, as ``2026-11-23``.
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
    """Return text for a line of its own in a manual page, whose characters come out as they are."""
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
in YAML: sections, and in each of them keys with values.
Every section and every key is optional, and so is the file; what is not there has its default.
The command line wins over the file.
.P
A duration is written as
.BR 10s ,
.B 1m30s
or
.BR 500ms ;
the units are ms, s, m, h and d.
A plain number is seconds.
.P
The file is read as a whole, when the monitor starts and when it is told to reload.
All that is wrong with it is reported at once, each problem on a line that begins with the name of the file and the
number of the line: unknown keys, keys that are there twice, values of a wrong type or out of range, values that
contradict each other.
A monitor does not start with such a file.
One that runs goes on with what it has, and tells so in its log and by the metric
.BR genv_monitor_config_last_reload_successful .
.P
.B genv\\-monitor check
checks the file without starting anything and prints what would be in force.
.B systemctl reload genv\\-monitor
applies it; no scrape is lost.
.SH SETTINGS
{settings}.SH FILES
.TP
.I {file}
The configuration that is read unless the command line names another.
.TP
.I /usr/share/genv\\-monitor/monitor.schema.json
The JSON Schema of the file, for editors that check while one types.
For those that use yaml\\-language\\-server, the first line of the file may be
.IP
.EX
# yaml\\-language\\-server: $schema=/usr/share/genv\\-monitor/monitor.schema.json
.EE
.SH NOTES
With
.B genv\\-monitor\\-sealed.service
the socket is opened by
.BR genv\\-monitor\\-sealed.socket ,
and neither
.B listen.address
nor
.B listen.port
counts; change the address with
.BR "systemctl edit genv\\-monitor\\-sealed.socket" .
.SH EXAMPLES
For a Prometheus on another machine, which looks more seldom:
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
