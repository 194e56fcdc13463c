"""Signing in and out on pages, for every member; the admin has a sign-in of its own for staff."""

from __future__ import annotations

from typing import Any

from csp.constants import NONE, SELF
from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.auth import views
from django.urls import path
from django.utils.decorators import method_decorator

from accounts.sign_in import SignInForm

# Stricter than the admin's: everything on these pages is a file of ours.
STRICT = {
    "script-src": [SELF],
    "style-src": [SELF],
    "worker-src": [NONE],
    "img-src": [SELF, "blob:", "data:"],
}


@method_decorator(csp_replace(STRICT), name="dispatch")
class SignInView(views.LoginView):
    """Signs somebody in, and goes on to the page of this site that was asked for."""

    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True
    extra_context = {"site": settings.APP_NAME, "languages": settings.LANGUAGES}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "here": self.request.get_full_path()}


class SignOutView(views.LogoutView):
    """Ends the session; by POST alone, so that no other site's picture does it."""

    next_page = "sign-in"


urlpatterns = [
    path("sign-in/", SignInView.as_view(), name="sign-in"),
    path("sign-out/", SignOutView.as_view(), name="sign-out"),
]
