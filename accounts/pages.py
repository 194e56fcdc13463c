"""Signing in and out on pages, for every member; the admin has a sign-in of its own for staff."""

from __future__ import annotations

from typing import Any

from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.auth import views
from django.urls import path
from django.utils.decorators import method_decorator

from accounts.oauth.views import begin, choices, come_back
from accounts.sign_in import SignInForm
from accounts.strict import STRICT


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


class SignOutView(views.LogoutView):
    """Ends the session; by POST alone, so that no other site's picture does it."""

    next_page = "sign-in"


urlpatterns = [
    path("sign-in/", SignInView.as_view(), name="sign-in"),
    path("sign-in/<slug:name>/", begin, name="oauth-begin"),
    path("sign-in/<slug:name>/return/", come_back, name="oauth-return"),
    path("sign-out/", SignOutView.as_view(), name="sign-out"),
]
