"""The host: its processes, who runs them, and the accounts that it has."""
