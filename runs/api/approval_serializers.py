"""Approvals: what clients send to decide them, and what they are answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import StrictModelSerializer, StrictSerializer
from runs.api.examples import APPROVAL, APPROVAL_OBJECT, RUN
from runs.api.representations import approval_json
from runs.approvals import Decision
from runs.models import Approval

LONGEST_REASON = 2000


class ApprovalSerializer(StrictModelSerializer):
    """A tool call or a workflow's node that waits for a person, or has waited."""

    agent = serializers.CharField(
        source="run.agent_name", help_text="The agent's name when the run was made; empty: a workflow's run."
    )
    workflow = serializers.CharField(
        source="run.workflow_name", help_text="The workflow that the run is of or a part of."
    )
    message = serializers.CharField(help_text="What a workflow's node asks.")
    arguments = serializers.DictField(help_text="As the model has asked for the call.")
    edited_arguments = serializers.DictField(
        source="edited", allow_null=True, help_text="As a person has changed them; null: they are unchanged."
    )
    deadline = serializers.DateTimeField(
        allow_null=True, help_text="When `default` decides, if nobody else has; null: never."
    )
    decided_by = serializers.CharField(help_text="As called then; empty: nobody has, or the deadline.")

    example = APPROVAL_OBJECT

    class Meta:
        model = Approval
        fields = list(APPROVAL_OBJECT)
        read_only_fields = fields

    def to_representation(self, instance: Approval) -> dict[str, Any]:
        return approval_json(instance)


class ReasonField(serializers.CharField):
    """Why a person has decided so."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, allow_blank=True, max_length=LONGEST_REASON, **options)


class RejectSerializer(StrictSerializer):
    reason = ReasonField(help_text="The model is told.")

    example = {"reason": "The order was refunded yesterday."}


class EditSerializer(StrictSerializer):
    """`arguments` or `result`, one of them."""

    arguments = serializers.DictField(
        required=False, help_text="The call is made with these. They have to fit the tool's schema."
    )
    result = serializers.JSONField(
        required=False,
        allow_null=True,
        help_text="The call is not made: this is what it has answered. Only of the kind unknown_effect.",
    )
    reason = ReasonField()

    example: dict[str, Any] = {
        "arguments": {"order": 1204, "amount": "29.90"},
        "reason": "Shipping is not refunded.",
    }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("arguments" in attrs) == ("result" in attrs):
            raise serializers.ValidationError(
                {"arguments": "Send either arguments or a result, one of the two."}
            )
        return attrs


def edit(values: dict[str, Any]) -> Decision:
    """The decision that values of EditSerializer describe."""
    return Decision(
        "edit",
        values.get("reason", ""),
        arguments=values.get("arguments"),
        result=values.get("result"),
        has_result="result" in values,
    )


class DecidedSerializer(StrictSerializer):
    """What has become of an approval."""

    approval_id = serializers.UUIDField()
    run_id = serializers.UUIDField()
    status = serializers.CharField()
    message = serializers.CharField()

    example = {
        "approval_id": APPROVAL,
        "run_id": RUN,
        "status": "approved",
        "message": "The call is approved.",
    }
