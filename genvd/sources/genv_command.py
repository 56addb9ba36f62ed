"""Whether genv itself is installed here."""

from __future__ import annotations

from genvd.sources.locate import find_genv


class GenvCommandSource:
    """The genv command that is not this package's own.

    A source of its own: it does not depend on genv's state files, which any user can break, and a directory of PATH
    can hang.
    """

    name = "genv_command"

    def read(self, question: None = None) -> bool:
        """Tell whether there is one."""
        return find_genv() is not None
