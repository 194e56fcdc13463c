"""Whose account it is: known by the provider's id, else by a verified address that an admin has registered.

Where OAUTH_ALLOWED_DOMAINS names the address's domain, an account is made. Nobody else gets in. Who is signed in links
an account by hand, whatever its address is.
"""

from __future__ import annotations

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Action
from accounts.members import add_member
from accounts.models import User, Workspace
from accounts.oauth.models import ProviderAccount
from accounts.oauth.providers import Profile
from accounts.roles import Role
from agentplatform.lib.errors import PlatformError


class NobodyHere(Exception):
    """No account is this person's, or not one that may sign in. The text is for the log."""


class SeveralHere(NobodyHere):
    """Several active accounts have the address, and which of them is meant is not for us to guess."""


class NotLinked(Exception):
    """Somebody who is signed in cannot link or unlink an account. The text is for people."""


def user_of(provider: str, profile: Profile) -> User:
    """The user that somebody proved by a provider is. Raises NobodyHere."""
    with transaction.atomic():
        user = _known(provider, profile) or _linked(provider, profile)
    if not user.is_active:
        raise NobodyHere("the account is not active")
    return user


def _known(provider: str, profile: Profile) -> User | None:
    found = ProviderAccount.objects.select_related("user").filter(provider=provider, subject=profile.subject)
    account = found.first()
    return account.user if account else None


def _linked(provider: str, profile: Profile) -> User:
    if not profile.email:
        raise NobodyHere("no verified address")
    # The active ones first: one that is not active stands in nobody's way, and is not replaced by a new one either.
    having = User.objects.select_for_update().filter(email__iexact=profile.email)
    users = list(having.order_by("-is_active", "pk")[:2])
    if len(users) > 1 and users[1].is_active:
        raise SeveralHere("several accounts have the address")
    user = users[0] if users else _provisioned(profile)
    if not user.is_active:
        raise NobodyHere("the account is not active")
    if ProviderAccount.objects.filter(user=user, provider=provider).exists():
        raise NobodyHere("another account of the provider has that address")
    account, _is_new = ProviderAccount.objects.get_or_create(
        provider=provider, subject=profile.subject, defaults={"user": user}
    )
    _end_password(user)
    audit.record_of_account(Action.UPDATED, user, after={"provider": provider})
    return account.user


def link(user: User, provider: str, profile: Profile) -> None:
    """Links the account that somebody has proved to whom they are signed in as. Their password stays: they know it.

    Raises NotLinked.
    """
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if (
            ProviderAccount.objects.filter(user=user, provider=provider)
            .exclude(subject=profile.subject)
            .exists()
        ):
            raise NotLinked(_("Another account there is linked to yours. Unlink it first."))
        account, is_new = ProviderAccount.objects.get_or_create(
            provider=provider, subject=profile.subject, defaults={"user": user}
        )
        if account.user_id != user.pk:
            raise NotLinked(_("That account there is linked to somebody else here."))
        if is_new:
            audit.record_of_account(Action.UPDATED, user, after={"provider": provider})


def unlink(user: User, provider: str) -> None:
    """Raises NotLinked where nothing would be left to sign in with."""
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        others = ProviderAccount.objects.filter(user=user).exclude(provider=provider)
        if not locked.has_usable_password() and not others.exists():
            raise NotLinked(_("You have no password, so you would have nothing left to sign in with."))
        removed, _rows = ProviderAccount.objects.filter(user=user, provider=provider).delete()
        if removed:
            audit.record_of_account(Action.UPDATED, user, before={"provider": provider})


def _end_password(user: User) -> None:
    """Who has made an account for an address must not be able to sign in as whoever has that address: with the password
    end the tokens and sessions that came with it. No tenant's admin makes superusers, so they keep theirs.
    """
    if user.has_usable_password() and not user.is_superuser:
        user.set_unusable_password()
        user.save(update_fields=["password"])


def _provisioned(profile: Profile) -> User:
    domain = profile.email.rpartition("@")[2].casefold()
    if domain not in settings.OAUTH_ALLOWED_DOMAINS or profile.domain.casefold() != domain:
        raise NobodyHere("unknown address")
    workspace = Workspace.objects.filter(slug=settings.OAUTH_DEFAULT_WORKSPACE).first()
    if workspace is None:
        raise NobodyHere("OAUTH_DEFAULT_WORKSPACE names no workspace")
    name = profile.email.casefold()[:150]
    if User.objects.filter(username=name).exists():
        raise NobodyHere("somebody has the address as a name")
    role = Role(settings.OAUTH_DEFAULT_ROLE)
    try:
        with transaction.atomic():
            added = add_member(workspace.pk, name, role, create_user=True, email=profile.email)
    except (PlatformError, IntegrityError) as error:
        raise NobodyHere("no account can be made for the address") from error
    return added.membership.user
