"""Paths of the room, without a trailing slash."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from runs.api.chat import chat, session_chat
from runs.api.session_views import SessionViewSet
from runs.api.streams import stream, wait
from runs.api.views import RunViewSet

router = SimpleRouter(trailing_slash=False)
router.register("runs", RunViewSet, basename="run")
router.register("sessions", SessionViewSet, basename="session")

urlpatterns = [
    path("chat", chat, name="chat"),
    path("runs/<str:pk>/wait", wait, name="run-wait"),
    path("runs/<str:pk>/stream", stream, name="run-stream"),
    path("sessions/<str:pk>/chat", session_chat, name="session-chat"),
    *router.urls,
]
