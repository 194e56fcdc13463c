"""Signing in and out over REST, and what a signed-in user can do with its own account."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.models import update_last_login
from django.db import transaction
from django.db.models import prefetch_related_objects
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit, tokens
from accounts.api.serializers import (
    LoginSerializer,
    MeSerializer,
    PasswordSerializer,
    RefreshSerializer,
    SignedInSerializer,
    TicketSerializer,
    TokenPairSerializer,
    VerifySerializer,
)
from accounts.audit import Action
from accounts.models import User
from accounts.permissions import PUBLIC, SIGNED_IN, acting, actor_of
from accounts.sign_in import note_failure
from accounts.throttling import LoginGuard, client_address
from accounts.tickets import LIFETIME, issue_ticket
from agentplatform.lib.errors import Invalid, NotAuthenticated, PermissionDenied
from agentplatform.lib.schema import failures

WRONG = "The user name or the password is wrong, or the account is not active."


class AccountView(GenericAPIView[Any]):
    """One operation on the caller's account."""

    permissions = {"post": SIGNED_IN}
    pagination_class = None
    filter_backends: list[Any] = []

    def valid(self) -> dict[str, Any]:
        """The validated body. Raises the error of a wrong one."""
        serializer = self.get_serializer(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data


class PublicAccountView(AccountView):
    """One that needs no signing in, because its body proves who asks."""

    authentication_classes: list[Any] = []
    permissions = {"post": PUBLIC}


class LoginView(PublicAccountView):
    serializer_class = LoginSerializer

    @extend_schema(responses={200: SignedInSerializer, **failures(401)})
    def post(self, request: Request) -> Response:
        """Sign in.

        Send the access token with further requests: `Authorization: Bearer <access>`. After repeated failures
        the next attempt has to wait, longer each time (429).
        """
        body = self.valid()
        address = client_address(request._request)
        guard = LoginGuard(address, body["username"])
        guard.enter()
        user = authenticate(request._request, username=body["username"], password=body["password"])
        if user is None:
            note_failure(body["username"], address)
            raise NotAuthenticated(WRONG)
        guard.succeeded()
        with transaction.atomic():
            update_last_login(User, user)
            audit.record_of_account(Action.SIGNED_IN, user)
            pair = tokens.issue(user)
        return Response(SignedInSerializer(signed_in(user, pair)).data)


class RefreshView(PublicAccountView):
    serializer_class = RefreshSerializer

    @extend_schema(responses={200: TokenPairSerializer, **failures(401)})
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for a new pair.

        It works once: the answer holds the next one.
        """
        return Response(TokenPairSerializer(tokens.rotate(self.valid()["refresh"])).data)


class LogoutView(PublicAccountView):
    serializer_class = RefreshSerializer

    @extend_schema(responses={204: None})
    def post(self, request: Request) -> Response:
        """Sign out.

        Revokes the refresh token. An access token that is out ends by itself within its `expires_in`.
        """
        tokens.revoke(self.valid()["refresh"])
        return Response(status=204)


class VerifyView(PublicAccountView):
    serializer_class = VerifySerializer
    changes_nothing = frozenset({"post"})

    @extend_schema(responses={200: VerifySerializer, **failures(401)})
    def post(self, request: Request) -> Response:
        """Say whether a token is valid.

        Access or refresh; one that is not is answered with 401.
        """
        token = tokens.read_any(self.valid()["token"])
        user = tokens.user_of(token)
        answer = {"valid": True, "token_type": token.token_type, "username": user.username}
        return Response(VerifySerializer(answer | {"expires_at": tokens.end_of(token)}).data)


class MeView(AccountView):
    serializer_class = MeSerializer
    permissions = {"get": SIGNED_IN}

    def get(self, request: Request) -> Response:
        """Read who one is, and what one may do."""
        user, actor = whole_user(request), actor_of(request)
        user.workspace = actor.workspace_slug if actor else None  # type: ignore[attr-defined]
        user.role = actor.role if actor else None  # type: ignore[attr-defined]
        user.permissions = sorted(actor.permissions) if actor else []  # type: ignore[attr-defined]
        user.api_key = actor.api_key_name or None if actor else None  # type: ignore[attr-defined]
        prefetch_related_objects([user], "memberships__workspace")
        return Response(self.get_serializer(user).data)


class PasswordView(AccountView):
    serializer_class = PasswordSerializer

    @extend_schema(responses=TokenPairSerializer)
    def post(self, request: Request) -> Response:
        """Change the password.

        Ends all tokens and tickets of the user and answers a new pair. API keys stay as they are.
        """
        if (actor := actor_of(request)) and actor.api_key_id:
            raise PermissionDenied("An API key cannot change the password; sign in with it.")
        body, user = self.valid(), whole_user(request)
        address = client_address(request._request)
        guard = LoginGuard(address, user.username)
        guard.enter()
        if not user.check_password(body["current_password"]):
            note_failure(user.username, address)
            raise Invalid({"current_password": "This is not the present password."})
        guard.succeeded()
        return Response(TokenPairSerializer(tokens.change_password(user, body["new_password"])).data)


class TicketView(AccountView):
    serializer_class = TicketSerializer

    @extend_schema(request=None, responses={201: TicketSerializer})
    def post(self, request: Request) -> Response:
        """Get a ticket for a WebSocket or EventSource.

        A browser can send no header there: it opens `…?ticket=<ticket>`, once, within `expires_in` seconds.
        """
        answer = {"ticket": issue_ticket(acting(request)), "expires_in": int(LIFETIME.total_seconds())}
        return Response(TicketSerializer(answer).data, status=201)


def signed_in(user: User, pair: tokens.TokenPair) -> dict[str, Any]:
    """What SignedInSerializer shows."""
    return {**pair, "user": user, "workspaces": user.memberships.select_related("workspace")}


def whole_user(request: Request) -> User:
    """The caller with all its fields, of which authentication loads a few."""
    key: Any = request.user.pk
    return User.objects.get(pk=key)
