"""The data model: named tuples that collectors create and everything else reads."""
