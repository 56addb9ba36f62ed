"""Whether what the documents refer to is there: links, anchors, files, targets of make, and, if asked, other sites."""
