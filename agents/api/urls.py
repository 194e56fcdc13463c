from django.urls import path
from rest_framework.routers import SimpleRouter

from agents.api.configuration_views import ComponentViewSet, WholeViewSet
from agents.api.knowledge_views import DocumentViewSet, KnowledgeBaseViewSet
from agents.api.mcp_views import McpServerViewSet
from agents.api.views import AgentViewSet, ModelViewSet, ToolViewSet
from agents.api.workflow_views import WorkflowViewSet

router = SimpleRouter(trailing_slash=False)
router.register("models", ModelViewSet, basename="model")
router.register("tools", ToolViewSet, basename="tool")
router.register("agents", AgentViewSet, basename="agent")
router.register("workflows", WorkflowViewSet, basename="workflow")
router.register("mcp-servers", McpServerViewSet, basename="mcp-server")

router.register("knowledge-bases", KnowledgeBaseViewSet, basename="knowledge-base")

DOCUMENTS = "knowledge-bases/<str:pk>/documents"
urlpatterns = [
    *router.urls,
    path("config", ComponentViewSet.as_view({"get": "components"})),
    path("config/export", WholeViewSet.as_view({"get": "export"})),
    path("config/import", WholeViewSet.as_view({"post": "load"})),
    path(
        "config/<str:name>",
        ComponentViewSet.as_view({"get": "component", "put": "write", "delete": "remove"}),
    ),
    path("config/<str:name>/history", ComponentViewSet.as_view({"get": "history"})),
    path("config/<str:name>/diff", ComponentViewSet.as_view({"get": "diff"})),
    path("config/<str:name>/restore", ComponentViewSet.as_view({"post": "restore"})),
    path(DOCUMENTS, DocumentViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{DOCUMENTS}/<str:document>", DocumentViewSet.as_view({"get": "retrieve", "delete": "destroy"})),
    path(f"{DOCUMENTS}/<str:document>/reindex", DocumentViewSet.as_view({"post": "reindex"})),
]
