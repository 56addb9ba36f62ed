"""Programs for developers, run from the repository. Nothing here is installed."""
