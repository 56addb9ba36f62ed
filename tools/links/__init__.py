"""Checks that everything the documents refer to exists: links, anchors, files, make targets, and other sites."""
