"""Filters of the account lists."""

from __future__ import annotations

from django_filters import rest_framework as filters

from accounts.models import ApiKey, Membership
from agentplatform.lib.filtering import BooleanFilter


class ApiKeyFilter(filters.FilterSet):
    """`?revoked=false` leaves the keys that still work, unless they have expired."""

    revoked = BooleanFilter(field_name="revoked_at", lookup_expr="isnull", exclude=True)
    user = filters.CharFilter(field_name="user__username", help_text="User name of the keys' owner.")

    class Meta:
        model = ApiKey
        fields: list[str] = []


class MemberFilter(filters.FilterSet):
    """`?role=admin`."""

    class Meta:
        model = Membership
        fields = ["role"]
