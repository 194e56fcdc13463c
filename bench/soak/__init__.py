"""`make bench-soak`: a quarter of an hour at a steady load, and what has grown by then.

`python -m bench.soak` starts the real platform (with a Redis of its own where `redis-server` is installed: a web
process and two workers), keeps a fixed rate of mixed work for `--minutes`, samples all processes meanwhile, and prints
a table: slopes of memory, connections, descriptors and lags, each against its bar, and whatever failed, was lost or
came twice. `--write docs` puts the table and its plots there.
"""
