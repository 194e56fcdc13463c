"""What agents remember of their users: whose it is, its rows, LangGraph's store over them, and how a model is told.

`rows` is for everybody; `store` needs LangGraph, so only workers import it.
"""
