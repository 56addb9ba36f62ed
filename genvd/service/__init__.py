"""The lifetime of the service: start, collect on a timer, reload, stop; and its interface to systemd."""
