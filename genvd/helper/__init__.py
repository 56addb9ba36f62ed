"""The helper: the small program that may read the processes of all users, and answers questions of the monitor."""
