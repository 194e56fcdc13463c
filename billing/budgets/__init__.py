"""Budgets: what may be spent in a period, set aside before each model call and counted after it.

`room` decides before a call, a trigger of the database counts after it, `counters` reads, `editing` changes,
`notices` tells.
"""
