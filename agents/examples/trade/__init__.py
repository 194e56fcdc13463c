"""The trade assistant: an agent with three tools over a small, fictional data set of its own (`data/`)."""
