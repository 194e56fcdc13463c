"""Signing in with an account at a provider: who gets in, who does not, and what a liar can do."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.hashers import make_password
from django.core import signing
from django.test import Client
from joserfc.jwk import RSAKey

from accounts.audit import AuditEntry
from accounts.models import Membership, User
from accounts.oauth.models import ProviderAccount
from accounts.security import Kind, SecurityEvent
from accounts.security.writing import write_noted
from tests.accounts.oauth_provider import OAuthProvider
from tests.factories import PASSWORD, MembershipFactory, UserFactory

PROVIDERS = ["google", "github"]


@pytest.fixture(scope="module")
def running():
    with OAuthProvider() as provider:
        yield provider


@pytest.fixture
def provider(running, settings):
    """One that is as it should be."""
    fresh = {"sub": "1001", "email": "alice@example.com", "email_verified": True}
    running.user, running.claims, running.broken, running.asked = fresh, {}, "", []
    running.emails = [{"email": "alice@example.com", "primary": True, "verified": True}]
    running.signing_key = running.key
    settings.OAUTH_PROVIDERS = running.settings()
    return running


@pytest.fixture
def browser():
    return Client()


def begin(browser, name="google", next="/"):
    """The URL at the provider that the browser is sent to."""
    return browser.get(f"/sign-in/{name}/", {"next": next})["Location"]


def sign_in(browser, provider, name="google", next="/"):
    return browser.get(provider.authorize(begin(browser, name, next)))


def signed_in(browser) -> str:
    key = browser.session.get("_auth_user_id")
    return User.objects.get(pk=key).username if key else ""


def reasons() -> list[str]:
    write_noted()
    return [thing for event in SecurityEvent.objects.all() for thing in event.objects_named]


# who gets in


@pytest.mark.parametrize("name", PROVIDERS)
def test_signs_in_whose_verified_address_is_registered(browser, provider, alice, name):
    answer = sign_in(browser, provider, name, "/admin/")
    assert (answer.status_code, answer["Location"], signed_in(browser)) == (302, "/admin/", "alice")


def test_knows_the_account_again_after_its_address_has_changed(browser, provider, alice):
    sign_in(browser, provider)
    provider.user["email"] = "somebody-else@example.com"
    again = Client()
    sign_in(again, provider)
    assert signed_in(again) == "alice"


def test_asks_for_state_nonce_and_a_code_challenge(browser, provider, db):
    asked = parse_qs(urlsplit(begin(browser)).query)
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    assert asked["redirect_uri"] == ["http://testserver/sign-in/google/return/"]


def test_offers_the_providers_on_both_sign_in_pages(browser, provider, db):
    pages = [
        browser.get(path).content.decode() for path in ("/sign-in/?next=/runs/", "/admin/login/?next=/admin/")
    ]
    assert ["Sign in with Google" in page and "Sign in with GitHub" in page for page in pages] == [True, True]


def test_offers_none_that_is_not_set_up(browser, db):
    assert "Sign in with" not in browser.get("/sign-in/").content.decode()
    assert browser.get("/sign-in/google/").status_code == 404


def test_the_session_works_for_the_api(browser, provider, alice):
    sign_in(browser, provider)
    assert browser.get("/api/v1/auth/me").json()["username"] == "alice"


def test_the_session_is_exchanged_for_tokens(browser, provider, alice):
    sign_in(browser, provider)
    pair = browser.post("/sign-in/token/").json()
    me = Client(headers={"Authorization": f"Bearer {pair['access']}"}).get("/api/v1/auth/me").json()
    refreshed = Client().post("/api/v1/auth/refresh", {"refresh": pair["refresh"]}, "application/json")
    assert (me["username"], refreshed.status_code) == ("alice", 200)


def test_exchanges_nothing_for_who_is_not_signed_in(browser, db):
    answer = browser.post("/sign-in/token/")
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "NotAuthenticated")


def test_exchanges_nothing_that_another_site_has_asked_for(alice):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    assert (browser.get("/sign-in/token/").status_code, browser.post("/sign-in/token/").status_code) == (
        405,
        403,
    )


def test_audits_the_sign_in(browser, provider, alice, workspace):
    sign_in(browser, provider)
    actions = AuditEntry.objects.filter(workspace=workspace).order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["updated", "signed_in"]


def test_ends_a_password_that_somebody_else_has_set(browser, provider, alice):
    """Else whoever makes an account for an address could sign in beside the one whose address it is."""
    assert Client().login(username="alice", password=PASSWORD)
    sign_in(browser, provider)
    assert not Client().login(username="alice", password=PASSWORD)


def test_leaves_a_superuser_the_password(browser, provider, alice):
    """No tenant makes one, and somebody has to get in when a provider does not answer."""
    User.objects.update(is_superuser=True)
    sign_in(browser, provider)
    assert Client().login(username="alice", password=PASSWORD)


# who does not


def test_refuses_an_address_that_nobody_has_registered(browser, provider, db):
    answer = sign_in(browser, provider)
    assert (answer.status_code, signed_in(browser), User.objects.count()) == (403, "", 0)


@pytest.mark.parametrize("value", [False, "true", None, 1])
def test_refuses_an_address_that_is_not_verified(browser, provider, alice, value):
    provider.user["email_verified"] = value
    assert (sign_in(browser, provider).status_code, signed_in(browser)) == (403, "")


@pytest.mark.parametrize(
    "email",
    [
        {"email": "alice@example.com", "primary": True, "verified": False},
        {"email": "alice@example.com", "primary": False, "verified": True},
    ],
)
def test_refuses_a_github_address_that_is_not_verified_or_not_the_first(browser, provider, alice, email):
    provider.emails = [email]
    assert (sign_in(browser, provider, "github").status_code, signed_in(browser)) == (403, "")


def test_refuses_an_account_that_is_not_active(browser, provider, alice):
    User.objects.update(is_active=False)
    assert (sign_in(browser, provider).status_code, signed_in(browser)) == (403, "")


def test_refuses_an_address_that_two_accounts_have_and_says_what_to_do(browser, provider, alice):
    UserFactory(username="twin", email="ALICE@example.com")
    answer = sign_in(browser, provider)
    assert (answer.status_code, signed_in(browser)) == (403, "")
    page = answer.content.decode()
    assert "Several accounts here have your address" in page
    # The form leads on to the page that links it.
    assert 'action="/sign-in/"' in page
    form = {"username": "alice", "password": PASSWORD, "next": "/sign-in/accounts/"}
    assert 'name="next" value="/sign-in/accounts/"' in page
    assert browser.post("/sign-in/", form)["Location"] == "/sign-in/accounts/"


def test_an_account_that_is_not_active_blocks_nobody(browser, provider, alice):
    UserFactory(username="twin", email="alice@example.com", is_active=False)
    sign_in(browser, provider)
    assert signed_in(browser) == "alice"


def test_makes_no_account_beside_one_that_is_not_active(browser, provider, alice, open_to):
    User.objects.update(is_active=False)
    before = User.objects.count()
    assert sign_in(browser, provider).status_code == 403
    assert User.objects.count() == before


def test_refuses_another_account_with_the_address_of_a_linked_one(browser, provider, alice):
    sign_in(browser, provider)
    provider.user["sub"] = "2002"
    again = Client()
    assert (sign_in(again, provider).status_code, signed_in(again)) == (403, "")


def test_tells_operators_and_not_the_visitor_why(browser, provider, alice):
    provider.user["email_verified"] = False
    page = sign_in(browser, provider).content.decode()
    assert "no verified address" not in page
    assert reasons() == ["google: no verified address"]
    assert SecurityEvent.objects.get().kind == Kind.PROVIDER_REFUSED


# linking by hand


@pytest.fixture
def twin(workspace):
    """Has alice's address, too."""
    return MembershipFactory(workspace=workspace, user__username="twin", user__email="alice@example.com").user


def link_of(page: str, name="google") -> str:
    return unescape(re.search(rf'href="(/sign-in/{name}/[^"]+)"', page)[1])


def linked(user, provider, name="google") -> tuple[Client, Any]:
    """The browser of somebody who has linked an account by the page's link, and the last answer."""
    browser = Client()
    browser.force_login(user)
    link = link_of(browser.get("/sign-in/accounts/").content.decode(), name)
    return browser, browser.get(provider.authorize(browser.get(link)["Location"]))


@pytest.mark.parametrize("name", PROVIDERS)
def test_links_what_is_proved_to_who_is_signed_in(provider, alice, twin, name):
    browser, answer = linked(twin, provider, name)
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in/accounts/")
    assert "linked since" in browser.get("/sign-in/accounts/").content.decode()
    assert User.objects.get(pk=twin.pk).has_usable_password()
    again = Client()
    sign_in(again, provider, name)
    assert signed_in(again) == "twin"
    assert AuditEntry.objects.filter(action="updated", subject_id=twin.pk, after={"provider": name}).exists()


def test_links_an_account_to_one_user_only(provider, alice, twin):
    linked(twin, provider)
    answer = linked(alice, provider)[1]
    assert (answer.status_code, "somebody else here" in answer.content.decode()) == (409, True)
    assert ProviderAccount.objects.get().user_id == twin.pk


def test_links_one_account_of_a_provider(provider, alice):
    browser = linked(alice, provider)[0]
    provider.user["sub"] = "2002"
    token = signing.dumps(str(alice.pk), salt="accounts.oauth.linking")
    answer = browser.get(provider.authorize(browser.get(f"/sign-in/google/?link={token}")["Location"]))
    assert (answer.status_code, "Unlink it first" in answer.content.decode()) == (409, True)
    assert ProviderAccount.objects.get().subject == "1001"


@pytest.mark.parametrize("case", ["forged", "of another", "nobody"])
def test_links_nothing_without_a_link_of_the_page(provider, alice, twin, case):
    browser = Client()
    if case != "nobody":
        browser.force_login(alice)
    token = "forged" if case == "forged" else signing.dumps(str(twin.pk), salt="accounts.oauth.linking")
    assert browser.get(f"/sign-in/google/?link={token}")["Location"] == "/sign-in/accounts/"


def test_links_nothing_where_somebody_else_has_signed_in_meanwhile(provider, alice, twin):
    browser = Client()
    browser.force_login(alice)
    there = browser.get(link_of(browser.get("/sign-in/accounts/").content.decode()))["Location"]
    attempt = browser.cookies["oauth_attempt"].value
    browser.force_login(twin)
    browser.cookies["oauth_attempt"] = attempt
    assert browser.get(provider.authorize(there)).status_code == 403
    assert not ProviderAccount.objects.exists()


def test_unlinks_and_keeps_a_way_to_sign_in(browser, provider, alice):
    sign_in(browser, provider)  # which ends the password
    answer = browser.post("/sign-in/google/unlink/")
    assert (answer.status_code, ProviderAccount.objects.count()) == (409, 1)
    User.objects.filter(pk=alice.pk).update(password=make_password(PASSWORD))
    browser.force_login(User.objects.get(pk=alice.pk))
    assert browser.post("/sign-in/google/unlink/")["Location"] == "/sign-in/accounts/"
    assert not ProviderAccount.objects.exists()


def test_asks_strangers_to_sign_in_before_they_link(browser, provider, db):
    assert browser.get("/sign-in/accounts/")["Location"] == "/sign-in/?next=/sign-in/accounts/"


# domains


@pytest.fixture
def open_to(settings, workspace):
    settings.OAUTH_ALLOWED_DOMAINS = ["example.com"]
    settings.OAUTH_DEFAULT_WORKSPACE = workspace.slug
    settings.OAUTH_DEFAULT_ROLE = "viewer"


def test_makes_no_account_on_the_word_of_github(browser, provider, open_to):
    """It verified the address once, and does not say when its owner has left the domain."""
    provider.emails[0]["email"] = "new@example.com"
    assert (sign_in(browser, provider, "github").status_code, User.objects.count()) == (403, 0)


def test_makes_none_for_an_address_that_is_no_user_name(browser, provider, open_to):
    provider.user |= {"email": "o'brien@example.com", "hd": "example.com"}
    assert (sign_in(browser, provider).status_code, User.objects.count()) == (403, 0)


def test_makes_an_account_for_an_allowed_domain(browser, provider, open_to):
    provider.user |= {"email": "New@example.com", "hd": "example.com"}
    sign_in(browser, provider)
    made = Membership.objects.get()
    assert (signed_in(browser), made.role, made.user.has_usable_password()) == (
        "new@example.com",
        "viewer",
        False,
    )


@pytest.mark.parametrize(
    "user",
    [
        {"email": "eve@evil.example", "hd": "evil.example"},
        {"email": "eve@example.com.evil.example", "hd": "example.com"},
        {"email": "eve@example.com"},
        {"email": "eve@example.com", "hd": "evil.example"},
    ],
)
def test_makes_none_for_others(browser, provider, open_to, user):
    provider.user |= user
    assert (sign_in(browser, provider).status_code, User.objects.count()) == (403, 0)


# hostile answers


def test_refuses_a_wrong_state(browser, provider, alice):
    url = provider.authorize(begin(browser)).replace("state=", "state=x")
    assert (browser.get(url).status_code, signed_in(browser), reasons()) == (403, "", ["google: wrong state"])


def test_refuses_an_answer_that_another_browser_has_begun(browser, provider, alice):
    url = provider.authorize(begin(browser))
    victim = Client()
    assert (victim.get(url).status_code, signed_in(victim), reasons()) == (403, "", ["google: no attempt"])


def test_refuses_an_answer_twice(browser, provider, alice):
    url = begin(browser)
    back = provider.authorize(url)
    kept = browser.cookies["oauth_attempt"].value
    browser.get(back)
    again = Client()
    again.cookies["oauth_attempt"] = kept
    assert (again.get(back).status_code, signed_in(again), reasons()) == (403, "", ["google: used before"])


def test_refuses_a_code_that_was_used(browser, provider, alice):
    url = begin(browser)
    back = provider.authorize(url)
    provider._codes.clear()
    assert (browser.get(back).status_code, signed_in(browser)) == (403, "")


def test_refuses_a_code_that_somebody_else_was_given(browser, provider, alice):
    """Injected into an attempt of one's own: the verifier does not fit."""
    stolen = parse_qs(urlsplit(provider.authorize(begin(Client()))).query)["code"][0]
    state = parse_qs(urlsplit(begin(browser)).query)["state"][0]
    answer = browser.get("/sign-in/google/return/", {"code": stolen, "state": state})
    assert (answer.status_code, signed_in(browser)) == (403, "")


def test_refuses_an_answer_to_another_provider_than_was_asked(browser, provider, alice):
    url = provider.authorize(begin(browser, "google")).replace("/google/return", "/github/return")
    assert (browser.get(url).status_code, provider.asked, reasons()) == (
        403,
        [],
        ["github: another provider"],
    )


def test_refuses_an_answer_that_names_another_issuer(browser, provider, alice):
    url = provider.authorize(begin(browser)) + "&iss=https://evil.example"
    assert (browser.get(url).status_code, provider.asked, reasons()) == (403, [], ["google: another issuer"])


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of-another-attempt"},
        {"aud": "another-client"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"sub": ""},
        {"sub": True},
    ],
)
def test_refuses_a_token_that_says_something_else(browser, provider, alice, claims):
    provider.claims = claims
    assert (sign_in(browser, provider).status_code, signed_in(browser)) == (403, "")


def test_refuses_a_token_that_the_provider_has_not_signed(browser, provider, alice):
    provider.signing_key = RSAKey.generate_key(2048, parameters={"kid": "one"})
    assert (sign_in(browser, provider).status_code, signed_in(browser)) == (403, "")


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("path", ["/token", "/keys", "/user", "/user/emails"])
def test_a_provider_that_fails_signs_nobody_in(browser, provider, alice, name, path):
    provider.broken = path
    sign_in(browser, provider, name)
    needed = {"google": {"/token", "/keys"}, "github": {"/token", "/user", "/user/emails"}}[name]
    assert signed_in(browser) == ("" if path in needed else "alice")


def test_who_says_no_there_is_not_signed_in(browser, provider, alice):
    state = parse_qs(urlsplit(begin(browser)).query)["state"][0]
    answer = browser.get("/sign-in/google/return/", {"error": "access_denied", "state": state})
    assert (answer.status_code, signed_in(browser), reasons()) == (403, "", [])


@pytest.mark.parametrize(
    "next",
    [
        "https://evil.example/",
        "//evil.example",
        "javascript:alert(1)",
        "/\\evil.example",
        "https:evil.example",
    ],
)
def test_goes_on_to_pages_of_this_site_only(browser, provider, alice, next):
    assert sign_in(browser, provider, next=next)["Location"] == "/"


def test_keeps_nothing_of_what_the_provider_gave(browser, provider, alice):
    sign_in(browser, provider)
    fields = ProviderAccount.objects.values("provider", "subject").get()
    assert fields == {"provider": "google", "subject": "1001"}
    assert "for-the-api" not in str(dict(browser.session))
