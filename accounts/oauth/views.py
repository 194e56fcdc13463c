"""The two pages of signing in at a provider: the way there, and the way back."""

from __future__ import annotations

import importlib
from typing import Any

import structlog
from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts import audit
from accounts.audit import Action
from accounts.limits import check_rate
from accounts.oauth import attempt as attempts
from accounts.oauth import linking_views as linking
from accounts.oauth.attempt import AttemptRefused
from accounts.oauth.linking import NobodyHere, SeveralHere, user_of
from accounts.oauth.providers import ExchangeFailed, Provider, provider_named, providers
from accounts.security import Kind, note
from accounts.sign_in import SignInForm
from accounts.strict import STRICT
from accounts.throttling import client_address
from agentplatform.lib.addresses import source_of
from agentplatform.lib.errors import RateLimited

BACKEND = "django.contrib.auth.backends.ModelBackend"
log = structlog.get_logger("agentplatform.security")


@require_GET
@never_cache
def begin(request: HttpRequest, name: str) -> HttpResponse:
    """Sends the browser to the provider; whoever would link an account there by an old link to the page of new ones."""
    provider = provider_named(name)
    try:
        linker = linking.linker(request)
    except AttemptRefused:
        return redirect("sign-in-accounts")
    attempt = attempts.new_attempt(name, safe_next(request, request.GET.get("next", "")), linker)
    url = _exchange().authorization_url(provider, attempt, _return_url(request, provider))
    response = HttpResponseRedirect(url)
    attempts.keep(attempt, response)
    return response


@require_GET
@never_cache
@csp_replace(STRICT)  # type: ignore[arg-type] # It takes views with arguments, too.
def come_back(request: HttpRequest, name: str) -> HttpResponse:
    """Signs in whom the provider has proved; everybody else is told that it did not work, and no more."""
    provider, address = provider_named(name), client_address(request)
    try:
        attempt = attempts.taken_up(request, name, provider.issuer)
        check_rate("login", f"oauth|{source_of(address)}")
        if "code" not in request.GET:
            return _refused(request, _("The sign-in was cancelled."))
        profile = _exchange().profile_of(
            provider, attempt, request.GET["code"], _return_url(request, provider)
        )
        if attempt.linking:
            return linking.linked(request, attempt, profile)
        user = user_of(name, profile)
    except RateLimited:
        return _refused(request, _("Too many attempts to sign in; wait a minute."), status=429)
    except SeveralHere as error:
        note(Kind.PROVIDER_REFUSED, address, thing=f"{name}: {error}")
        return _refused(request, _told(error), next=reverse("sign-in-accounts"))
    except (AttemptRefused, ExchangeFailed, NobodyHere) as error:
        note(Kind.PROVIDER_REFUSED, address, thing=f"{name}: {error}")
        log.warning("provider_refused", provider=name, reason=str(error), address=address)
        return _refused(request, _told(error))
    login(request, user, backend=BACKEND)
    audit.record_of_account(Action.SIGNED_IN, user)
    response = HttpResponseRedirect(safe_next(request, attempt.next))
    attempts.drop(response)
    return response


def safe_next(request: HttpRequest, url: str) -> str:
    """A page of this site, whatever was asked for."""
    if url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure()):
        return url
    return resolve_url(settings.LOGIN_REDIRECT_URL)


def choices(next: str) -> list[dict[str, str]]:
    """The providers as links of a sign-in page."""
    return [
        {"title": provider.title, "url": reverse("oauth-begin", args=[provider.name]), "next": next}
        for provider in providers()
    ]


def _told(error: Exception) -> str:
    """Who has no account may know so, having proved an address; nothing else is anybody's business."""
    if isinstance(error, AttemptRefused):
        return _("This sign-in was begun elsewhere, or too long ago. Begin it again.")
    if isinstance(error, SeveralHere):
        return _(
            "Several accounts here have your address. Sign in with the password of the one that you mean; the page"
            " after that links it, and from then on this way leads to it."
        )
    return _(
        "There is no account here that you can use that way. Ask an admin to register your verified address."
    )


def _refused(request: HttpRequest, fault: str, status: int = 403, next: str = "") -> HttpResponse:
    """The page to sign in, with what went wrong; it goes on to `next`."""
    context: dict[str, Any] = {
        "form": SignInForm(request),
        "fault": fault,
        "next": next,
        "providers": choices(""),
        "site": settings.APP_NAME,
        "languages": settings.LANGUAGES,
        "here": reverse("sign-in"),
    }
    response = render(request, "accounts/sign_in.html", context, status=status)
    attempts.drop(response)
    return response


def _return_url(request: HttpRequest, provider: Provider) -> str:
    """One for each provider, so that an answer cannot be taken for another provider's."""
    return request.build_absolute_uri(reverse("oauth-return", args=[provider.name]))


def _exchange() -> Any:
    return importlib.import_module("accounts.oauth.exchange")
