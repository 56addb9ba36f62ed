"""The data model: frozen dataclasses that collectors create and everything else reads."""
