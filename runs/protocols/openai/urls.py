"""Paths below /v1, without a trailing slash. They are OpenAI's to describe, and so not in our own description."""

from django.urls import path

from agentplatform.lib.error_views import unknown_path
from runs.protocols.openai.views import completions, model, models

urlpatterns = [
    path("models", models, name="openai-models"),
    path("models/<str:pk>", model, name="openai-model"),
    path("chat/completions", completions, name="openai-completions"),
    path("<path:path>", unknown_path),
]
