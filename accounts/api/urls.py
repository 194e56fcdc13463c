"""Routes of accounts, below /api/v1/."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from accounts.api import audit_views, sign_in, views

router = SimpleRouter(trailing_slash=False)
router.register("auth/api-keys", views.ApiKeyViewSet, basename="api-key")
router.register("audit-log", audit_views.AuditViewSet, basename="audit-entry")
router.register("workspaces", views.WorkspaceViewSet, basename="workspace")

urlpatterns = [
    path("auth/login", sign_in.LoginView.as_view(), name="login"),
    path("auth/refresh", sign_in.RefreshView.as_view(), name="refresh"),
    path("auth/logout", sign_in.LogoutView.as_view(), name="logout"),
    path("auth/verify", sign_in.VerifyView.as_view(), name="verify"),
    path("auth/me", sign_in.MeView.as_view(), name="me"),
    path("auth/password", sign_in.PasswordView.as_view(), name="password"),
    path("auth/ticket", sign_in.TicketView.as_view(), name="ticket"),
    path("audit-log/head", audit_views.AuditChainViewSet.as_view({"get": "read_head"}), name="audit-head"),
    path("audit-log/export", audit_views.AuditExportViewSet.as_view({"get": "export"}), name="audit-export"),
    path(
        "audit-log/verification",
        audit_views.AuditChainViewSet.as_view({"get": "verify_rows"}),
        name="audit-verification",
    ),
    path(
        "workspaces/<slug:workspace>/members",
        views.MemberViewSet.as_view({"get": "list", "post": "create"}),
        name="member-list",
    ),
    path(
        "workspaces/<slug:workspace>/members/<str:user>",
        views.MemberViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
        name="member-detail",
    ),
    *router.urls,
]
