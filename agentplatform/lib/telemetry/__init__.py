"""What the rooms report of their work while they do it: numbers (`metrics`) and spans (`tracing`).

How they leave the process is the roof's, `agentplatform.observability`.
"""
