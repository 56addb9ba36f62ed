"""The service: its life from start to stop, and what it and systemd tell each other."""
