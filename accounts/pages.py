"""Signing in and out on pages, for every member; the admin has a sign-in of its own for staff."""

from __future__ import annotations

from typing import Any

from csp.decorators import csp_replace
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import views
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts import audit, tokens
from accounts.audit import Action
from accounts.oauth.linking_views import accounts, unlink_account
from accounts.oauth.views import begin, choices, come_back
from accounts.sign_in import SignInForm
from accounts.strict import STRICT
from agentplatform.lib.error_format import error_response
from agentplatform.lib.errors import NotAuthenticated


@method_decorator(csp_replace(STRICT), name="dispatch")
class SignInView(views.LoginView):
    """Signs somebody in, and goes on to the page of this site that was asked for."""

    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True
    extra_context = {"site": settings.APP_NAME, "languages": settings.LANGUAGES}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        links = choices(context[self.redirect_field_name])
        return {**context, "here": self.request.get_full_path(), "providers": links}


@require_POST
@never_cache
def tokens_of_session(request: HttpRequest) -> JsonResponse:
    """A token pair for whoever has signed in on these pages, by whichever way: so that a program can go on as them.

    By POST and with the token against forgery, as any form here, so that no other site's page has one made.
    """
    user: Any = request.user
    if not user.is_authenticated:
        return error_response(request, NotAuthenticated("Sign in on the page /sign-in/ first."))
    with transaction.atomic():
        audit.record_of_account(Action.SIGNED_IN, user)
        return JsonResponse(tokens.issue(user))


def admin_sign_in(request: HttpRequest) -> HttpResponseBase:
    """The admin's own sign-in. Whoever has signed in, and is no staff, is told so instead of being asked again."""
    if request.user.is_authenticated and not admin.site.has_permission(request):
        raise PermissionDenied
    return admin.site.login(request)


class SignOutView(views.LogoutView):
    """Ends the session; by POST alone, so that no other site's picture does it."""

    next_page = "sign-in"


urlpatterns = [
    path("admin/login/", admin_sign_in),
    path("sign-in/", SignInView.as_view(), name="sign-in"),
    path("sign-in/token/", tokens_of_session, name="session-token"),
    path("sign-in/accounts/", accounts, name="sign-in-accounts"),
    path("sign-in/<slug:name>/unlink/", unlink_account, name="oauth-unlink"),
    path("sign-in/<slug:name>/", begin, name="oauth-begin"),
    path("sign-in/<slug:name>/return/", come_back, name="oauth-return"),
    path("sign-out/", SignOutView.as_view(), name="sign-out"),
]
