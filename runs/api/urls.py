"""Paths of the room, without a trailing slash."""

from django.urls import path
from rest_framework.parsers import MultiPartParser
from rest_framework.routers import SimpleRouter

from runs.api.agent_queries import query, stream_query
from runs.api.analytics_views import AnalyticsViewSet, SessionUsageViewSet
from runs.api.approval_views import ApprovalViewSet, RunApprovalsViewSet
from runs.api.attachment_views import AttachmentViewSet
from runs.api.chat import chat, session_chat
from runs.api.checkpoint_views import CheckpointViewSet, RunHistoryViewSet
from runs.api.history_views import HistoryViewSet
from runs.api.memory_views import MemoryViewSet
from runs.api.message_chat import edit, regenerate
from runs.api.message_views import ConversationViewSet
from runs.api.queue_views import QueueViewSet, WorkerViewSet
from runs.api.schedule_views import ScheduleViewSet
from runs.api.session_views import SessionViewSet
from runs.api.streams import stream, wait
from runs.api.subject_views import SubjectViewSet
from runs.api.views import RunViewSet
from runs.api.webhook_views import DeliveryViewSet, WebhookViewSet
from runs.api.workflow_picture_views import WorkflowPictureViewSet
from runs.api.workflow_run_views import WorkflowRunViewSet

router = SimpleRouter(trailing_slash=False)
router.register("runs", RunViewSet, basename="run")
router.register("approvals", ApprovalViewSet, basename="approval")
router.register("attachments", AttachmentViewSet, basename="attachment")
router.register("sessions", SessionViewSet, basename="session")
router.register("checkpoints", CheckpointViewSet, basename="checkpoint")
router.register("workers", WorkerViewSet, basename="worker")
router.register("schedules", ScheduleViewSet, basename="schedule")
router.register("webhooks", WebhookViewSet, basename="webhook")

urlpatterns = [
    path("chat", chat, name="chat"),
    path("agent/query", query, name="agent-query"),
    path("agent/stream", stream_query, name="agent-stream"),
    path("history/search", HistoryViewSet.as_view({"get": "search_all"}), name="history-search"),
    path(
        "history/sessions/<str:pk>/messages",
        HistoryViewSet.as_view({"get": "messages"}),
        name="history-messages",
    ),
    path(
        "history/sessions/<str:pk>/search", HistoryViewSet.as_view({"get": "search"}), name="session-search"
    ),
    path(
        "history/sessions/<str:pk>/export", HistoryViewSet.as_view({"get": "export"}), name="history-export"
    ),
    path("auth/me/export", SubjectViewSet.as_view({"get": "export_own"}), name="own-export"),
    path(
        "workspaces/<slug:workspace>/members/<str:user>/export",
        SubjectViewSet.as_view({"get": "export"}),
        name="member-export",
    ),
    path(
        "workspaces/<slug:workspace>/members/<str:user>/erase",
        SubjectViewSet.as_view({"post": "erase"}),
        name="member-erase",
    ),
    path(
        "memories",
        MemoryViewSet.as_view({"get": "list", "post": "create", "delete": "clear"}),
        name="memory-list",
    ),
    path(
        "memories/<str:pk>",
        MemoryViewSet.as_view({"get": "retrieve", "patch": "change", "delete": "destroy"}),
        name="memory-detail",
    ),
    path("metrics/agents/<str:pk>", AnalyticsViewSet.as_view({"get": "agent"}), name="agent-metrics"),
    path("metrics/system", AnalyticsViewSet.as_view({"get": "system"}), name="system-metrics"),
    path("analytics/performance", AnalyticsViewSet.as_view({"get": "performance"}), name="performance"),
    path("analytics/errors", AnalyticsViewSet.as_view({"get": "errors"}), name="errors"),
    path("analytics/tokens/<str:pk>", SessionUsageViewSet.as_view({"get": "tokens"}), name="session-tokens"),
    path("analytics/cost/<str:pk>", SessionUsageViewSet.as_view({"get": "cost"}), name="session-cost"),
    path("queue", QueueViewSet.as_view({"get": "figures"}), name="queue"),
    path("queue/requeue", QueueViewSet.as_view({"post": "requeue"}), name="queue-requeue"),
    path("runs/<str:pk>/approvals", RunApprovalsViewSet.as_view({"get": "list"}), name="run-approvals"),
    path(
        "runs/<str:pk>/checkpoints",
        RunHistoryViewSet.as_view({"get": "checkpoints", "post": "keep"}),
        name="run-checkpoints",
    ),
    path("runs/<str:pk>/lineage", RunHistoryViewSet.as_view({"get": "lineage"}), name="run-lineage"),
    path("runs/<str:pk>/wait", wait, name="run-wait"),
    path("runs/<str:pk>/stream", stream, name="run-stream"),
    path(
        "sessions/<str:pk>/attachments",
        AttachmentViewSet.as_view({"post": "upload"}, parser_classes=[MultiPartParser]),
        name="attachment-upload",
    ),
    path(
        "attachments/<str:pk>/content",
        AttachmentViewSet.as_view({"get": "content"}),
        name="attachment-content",
    ),
    path("sessions/<str:pk>/chat", session_chat, name="session-chat"),
    path("sessions/<str:pk>/stop", ConversationViewSet.as_view({"post": "stop"}), name="session-stop"),
    path("sessions/<str:pk>/branch", ConversationViewSet.as_view({"post": "branch"}), name="session-branch"),
    path("sessions/<str:pk>/messages/<str:message_id>/edit", edit, name="message-edit"),
    path("sessions/<str:pk>/messages/<str:message_id>/regenerate", regenerate, name="message-regenerate"),
    path(
        "sessions/<str:pk>/messages/<str:message_id>/select",
        ConversationViewSet.as_view({"post": "select"}),
        name="message-select",
    ),
    path("webhooks/<str:pk>/deliveries", DeliveryViewSet.as_view({"get": "list"}), name="webhook-deliveries"),
    path(
        "webhooks/<str:pk>/deliveries/<str:delivery_id>/replay",
        DeliveryViewSet.as_view({"post": "replay"}),
        name="webhook-delivery-replay",
    ),
    path("workflows/<str:pk>/run", WorkflowRunViewSet.as_view({"post": "run"}), name="workflow-run"),
    path(
        "workflows/<str:pk>/visualization",
        WorkflowPictureViewSet.as_view({"get": "visualization"}),
        name="workflow-visualization",
    ),
    *router.urls,
]
