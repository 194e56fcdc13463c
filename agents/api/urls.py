from rest_framework.routers import SimpleRouter

from agents.api.mcp_views import McpServerViewSet
from agents.api.views import AgentViewSet, ModelViewSet, ToolViewSet
from agents.api.workflow_views import WorkflowViewSet

router = SimpleRouter(trailing_slash=False)
router.register("models", ModelViewSet, basename="model")
router.register("tools", ToolViewSet, basename="tool")
router.register("agents", AgentViewSet, basename="agent")
router.register("workflows", WorkflowViewSet, basename="workflow")
router.register("mcp-servers", McpServerViewSet, basename="mcp-server")

urlpatterns = router.urls
