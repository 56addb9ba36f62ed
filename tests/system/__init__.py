"""The package and its service on booted Debian systems."""
