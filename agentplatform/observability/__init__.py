"""How what the platform measures of itself leaves it: Prometheus' `/metrics`, traces, reports of errors.

The rooms report over `agentplatform.lib.telemetry`, which knows nothing of this.
"""
