"""`make bench`: measures the real platform over HTTP, against a fake model endpoint in another process.

`python -m bench` prints one table: throughput, latency, reads, memory, processor time, the take-up of
a killed worker's runs, work at a million rows, and the limit: the same graph and model client in a bare loop.
Client, model endpoint, database and platform share the machine, as they do on the smallest installation.
"""
