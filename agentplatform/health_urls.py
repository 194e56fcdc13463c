"""Paths of the health checks, below /api/v1/; `/health` itself is rewritten to them."""

from django.urls import path

from agentplatform.health.views import detailed, health, liveness, readiness

urlpatterns = [
    path("health", health, name="health"),
    path("health/detailed", detailed, name="health-detailed"),
    path("health/liveness", liveness, name="health-liveness"),
    path("health/readiness", readiness, name="health-readiness"),
]
