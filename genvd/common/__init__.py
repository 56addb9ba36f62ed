"""What every part may use: text, files, time, worker threads, the log of errors. Nothing here knows of GPUs."""
