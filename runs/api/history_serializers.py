"""What has been said, found again: shapes."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from agentplatform.lib.serializers import StrictSerializer
from runs.api.examples import MESSAGE_OBJECT
from runs.api.representations import message_json
from runs.api.session_serializers import MessageSerializer
from runs.conversations.exports import formats
from runs.conversations.search import LONGEST_QUERY, Found
from runs.models import Message


def of_branch(messages: QuerySet[Message], branch: str) -> QuerySet[Message]:
    """Those that BranchQuerySerializer's `branch` means."""
    return messages if branch == "all" else messages.filter(active=True)


class PeriodSerializer(StrictSerializer):
    """Which messages: from a moment, before another, and of whom."""

    start_time = serializers.DateTimeField(required=False, help_text="From this moment.")
    end_time = serializers.DateTimeField(required=False, help_text="Before this moment.")


class BranchQuerySerializer(StrictSerializer):
    """Which messages: of the branch that is shown, or of all."""

    branch = serializers.ChoiceField(
        choices=["active", "all"], default="active", help_text="all: those of other branches, too."
    )


class HistoryQuerySerializer(BranchQuerySerializer):
    ordering = serializers.ChoiceField(choices=["created_at", "-created_at"], default="created_at")


class MessagesQuerySerializer(PeriodSerializer, BranchQuerySerializer):
    source = serializers.CharField(required=False, max_length=100, help_text="user, or an agent's name.")  # type: ignore[assignment]
    type = serializers.CharField(required=False, max_length=32)


class ExportQuerySerializer(MessagesQuerySerializer):
    format = serializers.ChoiceField(choices=list(formats), default="json")


class SearchQuerySerializer(PeriodSerializer):
    q = serializers.CharField(
        max_length=LONGEST_QUERY, help_text='Words; "as it stands"; or; -without. Chinese is found, too.'
    )
    mine = serializers.BooleanField(default=False, help_text="true: only in the caller's own sessions.")


class FoundSerializer(StrictSerializer):
    """A message that matches."""

    message = MessageSerializer()
    session_name = serializers.CharField()
    snippet = serializers.CharField(help_text="The part of its text with the first match; plain text.")
    matches = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(), min_length=2, max_length=2),
        help_text="Where the words stand in the snippet: from and to, in characters.",
    )
    rank = serializers.FloatField(help_text="Higher is better.")

    example = {
        "message": MESSAGE_OBJECT,
        "session_name": "Arithmetic",
        "snippet": "What is 17 * 23?",
        "matches": [[8, 10]],
        "rank": 0.1,
    }

    def to_representation(self, instance: Found) -> dict[str, Any]:
        return {
            "message": message_json(instance.message),
            "session_name": instance.message.session.title,
            "snippet": instance.snippet,
            "matches": [list(match) for match in instance.matches],
            "rank": instance.rank,
        }
