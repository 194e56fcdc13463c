"""Webhooks: who is told of runs over HTTP, and how a message gets there at least once.

signing    secrets, and the headers of Standard Webhooks
outbox     writes messages in the transaction that writes the event, and their jobs
sending    sends a message, and decides what follows from the answer
editing    what people do with webhooks
"""
