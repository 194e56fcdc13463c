from rest_framework.routers import SimpleRouter

from agents.api.views import AgentViewSet, ModelViewSet, ToolViewSet

router = SimpleRouter(trailing_slash=False)
router.register("models", ModelViewSet, basename="model")
router.register("tools", ToolViewSet, basename="tool")
router.register("agents", AgentViewSet, basename="agent")

urlpatterns = router.urls
