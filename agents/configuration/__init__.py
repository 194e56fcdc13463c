"""A workspace's configuration as a whole: read, compared, written and restored by name, and as one text for Git."""
