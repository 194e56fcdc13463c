"""The shapes of accounts over REST."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework import serializers

from accounts.models import ApiKey, Membership, User, Workspace
from accounts.roles import PERMISSIONS, Role
from agentplatform.lib.serializers import ShownOnce, StrictModelSerializer, StrictSerializer

USER = {"id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e", "username": "alice", "email": "alice@example.com"}
NAMES = {"first_name": "Alice", "last_name": "Liddell"}
WORKSPACE_OF_USER = {"slug": "acme", "name": "Acme", "role": "admin"}
LIMITS_HELP = {
    "requests_per_minute": {"help_text": "null: as the platform's settings say; 0: no limit."},
    "open_requests": {
        "help_text": "At once, streams and sockets among them. null: as the platform's settings say; 0: no limit."
    },
}
PAIR = {"access": "eyJhbGciOi…", "refresh": "eyJhbGciOi…", "token_type": "Bearer", "expires_in": 1800}


class UserSerializer(StrictModelSerializer):
    """A user, as others in the workspace may see it."""

    email = serializers.CharField(read_only=True, help_text="An address, or empty.")
    example: ClassVar[dict[str, Any]] = USER | NAMES

    class Meta:
        model = User
        fields: ClassVar[list[str]] = ["id", "username", "email", "first_name", "last_name"]
        read_only_fields = fields


class WorkspaceOfUserSerializer(StrictModelSerializer):
    """A workspace that a user belongs to, with its role there."""

    slug = serializers.CharField(source="workspace.slug", read_only=True)
    name = serializers.CharField(source="workspace.name", read_only=True)
    example = WORKSPACE_OF_USER

    class Meta:
        model = Membership
        fields = ["slug", "name", "role"]
        read_only_fields = fields


class LoginSerializer(StrictSerializer):
    """A user name and its password."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1000, write_only=True, trim_whitespace=False)
    example = {"username": "alice", "password": "correct horse battery staple"}


class TokenPairSerializer(StrictSerializer):
    """An access token for `expires_in` seconds, and a refresh token that works once."""

    access = serializers.CharField(read_only=True)
    refresh = serializers.CharField(read_only=True)
    token_type = serializers.CharField(read_only=True)
    expires_in = serializers.IntegerField(read_only=True, help_text="Seconds that the access token lives.")
    example = PAIR


class SignedInSerializer(TokenPairSerializer):
    """A token pair, and whom it stands for."""

    user = UserSerializer(read_only=True)
    workspaces = WorkspaceOfUserSerializer(many=True, read_only=True)
    example = PAIR | {"user": USER | NAMES, "workspaces": [WORKSPACE_OF_USER]}


class RefreshSerializer(StrictSerializer):
    """A refresh token."""

    refresh = serializers.CharField(max_length=5000, write_only=True)
    example = {"refresh": "eyJhbGciOi…"}


class VerifySerializer(StrictSerializer):
    """An access or refresh token, and what it is when it is valid."""

    token = serializers.CharField(max_length=5000, write_only=True)
    valid = serializers.BooleanField(read_only=True)
    token_type = serializers.ChoiceField(choices=["access", "refresh"], read_only=True)
    username = serializers.CharField(read_only=True)
    expires_at = serializers.DateTimeField(read_only=True)
    example = {
        "token": "eyJhbGciOi…",
        "valid": True,
        "token_type": "access",
        "username": "alice",
        "expires_at": "2026-11-20T10:30:00Z",
    }


class PasswordSerializer(StrictSerializer):
    """The present password and the next one."""

    current_password = serializers.CharField(max_length=1000, write_only=True, trim_whitespace=False)
    new_password = serializers.CharField(max_length=1000, write_only=True, trim_whitespace=False)
    example = {
        "current_password": "correct horse battery staple",
        "new_password": "a better horse battery staple",
    }

    def validate_new_password(self, value: str) -> str:
        try:
            validate_password(value, self.context["request"].user)
        except ValidationError as error:
            raise serializers.ValidationError(error.messages) from error
        return value


class MeSerializer(UserSerializer):
    """The caller: the user, the workspace acted in, and what may be done there."""

    workspace = serializers.CharField(
        read_only=True, allow_null=True, help_text="Slug of the workspace acted in."
    )
    role = serializers.ChoiceField(choices=Role.choices, read_only=True, allow_null=True)
    permissions = serializers.ListField(child=serializers.CharField(), read_only=True)
    api_key = serializers.CharField(
        read_only=True, allow_null=True, help_text="Name of the key that was sent."
    )
    workspaces = WorkspaceOfUserSerializer(many=True, read_only=True, source="memberships")
    example = (
        USER
        | NAMES
        | {
            "workspace": "acme",
            "role": "user",
            "permissions": ["execute:agent", "read:agent"],
            "api_key": None,
        }
        | {"workspaces": [WORKSPACE_OF_USER | {"role": "user"}]}
    )

    class Meta(UserSerializer.Meta):
        fields = [*UserSerializer.Meta.fields, "workspace", "role", "permissions", "api_key", "workspaces"]
        read_only_fields = fields


class TicketSerializer(StrictSerializer):
    """A ticket, good for one WebSocket or EventSource."""

    ticket = serializers.CharField(read_only=True)
    expires_in = serializers.IntegerField(read_only=True, help_text="Seconds.")
    example = {"ticket": "q4r1…", "expires_in": 30}


class ApiKeySerializer(ShownOnce, StrictModelSerializer):
    """An API key. Its text, `key`, is answered once: when it is made."""

    shown_once = "key"

    user = serializers.CharField(source="user.username", read_only=True)
    key = serializers.CharField(
        read_only=True, help_text="Only in the answer to POST; it cannot be read again."
    )
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=sorted(PERMISSIONS)),
        required=False,
        help_text="Permissions that the key is narrowed to; empty: all of the role's.",
    )
    example = {
        "id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e",
        "name": "nightly report",
        "prefix": "ap_Xk29aQ0b",
        "key": "ap_Xk29aQ0b…",
        "user": "alice",
        "scopes": ["read:usage", "export:usage"],
        "requests_per_minute": 60,
        "open_requests": None,
        "created_at": "2026-11-20T10:00:00Z",
        "expires_at": "2027-11-20T10:00:00Z",
        "last_used_at": None,
        "revoked_at": None,
    }

    class Meta:
        model = ApiKey
        fields = [
            "id",
            "name",
            "prefix",
            "key",
            "user",
            "scopes",
            "requests_per_minute",
            "open_requests",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
        ]
        read_only_fields = ["id", "prefix", "created_at", "last_used_at", "revoked_at"]
        extra_kwargs = LIMITS_HELP

    def validate_expires_at(self, value: Any) -> Any:
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("Choose a time in the future, or leave it out.")
        return value


class ApiKeyLimitsSerializer(ApiKeySerializer):
    """The limits of an API key, the only part of it that can be changed."""

    scopes = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta(ApiKeySerializer.Meta):
        read_only_fields = [
            name
            for name in ApiKeySerializer.Meta.fields
            if name not in ("user", "key", "scopes", *LIMITS_HELP)
        ]


class WorkspaceSerializer(StrictModelSerializer):
    """A workspace."""

    example = {
        "id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e",
        "slug": "acme",
        "name": "Acme",
        "currency": "USD",
        "time_zone": "Europe/Berlin",
        "kept_checkpoints": 20,
        "audits_reads": False,
        "requests_per_minute": 6000,
        "open_requests": None,
        "created_at": "2026-11-20T10:00:00Z",
    }

    class Meta:
        model = Workspace
        fields = [
            "id",
            "slug",
            "name",
            "currency",
            "time_zone",
            "kept_checkpoints",
            "audits_reads",
            "requests_per_minute",
            "open_requests",
            "created_at",
        ]
        read_only_fields = ["id", "requests_per_minute", "open_requests", "created_at"]
        extra_kwargs = LIMITS_HELP | {
            "time_zone": {"help_text": "In which days and months of budgets and reports begin."},
            "audits_reads": {
                "help_text": "Whether the audit log tells of reads too, besides what changes something."
            },
            "kept_checkpoints": {
                "help_text": "Of each run that has ended, the newest; null: all. What people have made or forked stays."
            },
        }

    def validate_slug(self, value: str) -> str:
        if self.instance is not None and value != self.instance.slug:
            raise serializers.ValidationError("The slug stands in clients' settings and cannot be changed.")
        return value


class MemberSerializer(ShownOnce, StrictModelSerializer):
    """A member of a workspace."""

    shown_once = "password"

    user = UserSerializer(read_only=True)
    username = serializers.CharField(max_length=150, write_only=True)
    email = serializers.EmailField(write_only=True, required=False, help_text="Of a user who is made.")
    create_user = serializers.BooleanField(
        write_only=True,
        default=False,
        help_text="Makes the user, with a generated password, if there is none.",
    )
    password = serializers.CharField(
        read_only=True,
        help_text="Generated; only in the answer that made the user, and cannot be read again.",
    )
    example = {
        "username": "bob",
        "role": "user",
        "email": "bob@example.com",
        "create_user": True,
        "user": USER
        | NAMES
        | {"username": "bob", "email": "bob@example.com", "first_name": "", "last_name": ""},
        "password": "kT7wqJ3nVfXe2sPzYd9r",
        "created_at": "2026-11-20T10:00:00Z",
    }

    class Meta:
        model = Membership
        fields = ["user", "role", "created_at", "username", "email", "create_user", "password"]
        read_only_fields = ["created_at"]


class RoleSerializer(StrictModelSerializer):
    """A member's next role."""

    example = {"role": "operator"}

    class Meta:
        model = Membership
        fields = ["role"]
