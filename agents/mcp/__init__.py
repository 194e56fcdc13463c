"""Servers of the Model Context Protocol: connecting to them, keeping their sessions, calling and importing their tools.

`pool` is the front that tools call, `discovery` the one that people use. The protocol itself is the SDK's (`mcp`);
only `sessions`, `stdio` and `http` know it, and they are imported on first use, so that a web process which calls no
such server never loads it.
"""
