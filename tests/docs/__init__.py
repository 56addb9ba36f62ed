"""Checks that the documents and the generated files match the code: ``make docs-check``."""
