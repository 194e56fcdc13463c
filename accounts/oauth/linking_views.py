"""The page on which somebody who is signed in links their account to those at providers, and unlinks them.

A link of that page leads to the provider. It holds a token that only the page knows, so that no other site can have
somebody's account linked to an account there that is its own.
"""

from __future__ import annotations

from typing import Any

from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.oauth import attempt as attempts
from accounts.oauth.attempt import Attempt, AttemptRefused
from accounts.oauth.linking import NotLinked, link, unlink
from accounts.oauth.models import ProviderAccount
from accounts.oauth.providers import Profile, provider_named, providers
from accounts.strict import STRICT

SALT = "accounts.oauth.linking"


@require_safe
@never_cache
@login_required
@csp_replace(STRICT)
def accounts(request: HttpRequest) -> HttpResponse:
    return _page(request)


@require_POST
@never_cache
@login_required
@csp_replace(STRICT)  # type: ignore[arg-type]
def unlink_account(request: HttpRequest, name: str) -> HttpResponse:
    user: Any = request.user
    try:
        unlink(user, provider_named(name).name)
    except NotLinked as error:
        return _page(request, str(error), status=409)
    return redirect("sign-in-accounts")


def linker(request: HttpRequest) -> str:
    """The id of who begins to link an account, empty where somebody signs in. Raises AttemptRefused."""
    token = request.GET.get("link", "")
    if not token:
        return ""
    try:
        key = str(signing.loads(token, salt=SALT, max_age=attempts.LIFETIME_SECONDS))
    except signing.BadSignature as error:
        raise AttemptRefused("no link of ours") from error
    if key != str(request.user.pk):
        raise AttemptRefused("a link of somebody else")
    return key


def linked(request: HttpRequest, attempt: Attempt, profile: Profile) -> HttpResponse:
    """Links what the provider has proved. Raises AttemptRefused where somebody else has signed in meanwhile."""
    user: Any = request.user
    if str(user.pk) != attempt.linking:
        raise AttemptRefused("somebody else is signed in")
    try:
        link(user, attempt.provider, profile)
    except NotLinked as error:
        response = _page(request, str(error), status=409)
    else:
        response = HttpResponseRedirect(reverse("sign-in-accounts"))
    attempts.drop(response)
    return response


def _page(request: HttpRequest, fault: str = "", status: int = 200) -> HttpResponse:
    since = dict(ProviderAccount.objects.filter(user=request.user.pk).values_list("provider", "created_at"))
    query = urlencode({"link": signing.dumps(str(request.user.pk), salt=SALT)})
    context = {
        "site": settings.APP_NAME,
        "languages": settings.LANGUAGES,
        "here": reverse("sign-in-accounts"),
        "fault": fault,
        "providers": [
            {
                "name": one.name,
                "title": one.title,
                "since": since.get(one.name),
                "url": f"{reverse('oauth-begin', args=[one.name])}?{query}",
            }
            for one in providers()
        ],
    }
    return render(request, "accounts/linked.html", context, status=status)
