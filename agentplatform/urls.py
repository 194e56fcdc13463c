"""The URL map. Every API path is here once, without a trailing slash; the aliases are a rewrite before routing."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView

from agentplatform.dashboard import live_overview
from agentplatform.lib.error_views import unknown_path
from agentplatform.lib.schema_view import SchemaView
from agentplatform.observability.views import metrics
from runs.protocols.mcp.views import mcp

api_urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("accounts.api.urls")),
    path("", include("agents.api.urls")),
    path("", include("billing.api.urls")),
    path("", include("runs.api.urls")),
    path("", include("agentplatform.health_urls")),
    path("openapi.json", SchemaView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="schema"), name="swagger"),
    path("redoc", SpectacularRedocView.as_view(url_name="schema"), name="redoc"),
    path("<path:path>", unknown_path),
]

urlpatterns = [
    path("api/v1/", include(api_urlpatterns)),
    path("v1/", include("runs.protocols.openai.urls")),
    path("mcp", mcp),
    path("metrics", metrics, name="prometheus"),
    path("", include("runs.protocols.latest_session")),
    path("", include("accounts.pages")),
    path("admin/overview/", admin.site.admin_view(live_overview), name="overview-live"),
    path("admin/filters/", include("accounts.saved_filters")),
    path("admin/", admin.site.urls),
    path("", include("runs.chat_page")),
    path("", include("runs.pages")),
]

handler400 = "agentplatform.lib.error_views.bad_request"
handler403 = "agentplatform.lib.error_views.permission_denied"
handler404 = "agentplatform.lib.error_views.page_not_found"
handler500 = "agentplatform.lib.error_views.server_error"
