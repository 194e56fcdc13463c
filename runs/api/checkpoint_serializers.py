"""Checkpoints and what begins at them: what clients send and are answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import StrictModelSerializer, StrictSerializer
from runs.api.checkpoint_examples import CHECKPOINT, DIFF, FORK, LINEAGE, STATE
from runs.api.examples import RUN
from runs.api.modification_serializers import ModificationsSerializer, StateMessageSerializer
from runs.api.representations import checkpoint_json, state_json
from runs.api.serializers import MAX_TAGS
from runs.history.checkpoints import State
from runs.models import Checkpoint

MAX_DESCRIPTION = 2000


class DescriptionField(serializers.CharField):
    """What somebody wants to read later."""

    def __init__(self) -> None:
        super().__init__(required=False, allow_blank=True, max_length=MAX_DESCRIPTION)


class CheckpointSerializer(StrictModelSerializer):
    """A checkpoint in a list."""

    manual = serializers.BooleanField(read_only=True, help_text="Whether a person has made it.")

    example = CHECKPOINT

    class Meta:
        model = Checkpoint
        fields = list(CHECKPOINT)
        read_only_fields = fields

    def to_representation(self, instance: Checkpoint) -> dict[str, Any]:
        return checkpoint_json(instance)


class CheckpointRequestSerializer(StrictSerializer):
    """A checkpoint to be kept."""

    description = DescriptionField()
    tags = serializers.ListField(
        child=serializers.CharField(max_length=50), default=list, max_length=MAX_TAGS
    )

    example = {"description": "Before the refund", "tags": ["refund"]}

    def validate_tags(self, value: list[str]) -> list[str]:
        return list(dict.fromkeys(value))


class CheckpointPageSerializer(StrictSerializer):
    """Some of a run's checkpoints, the newest first."""

    run_id = serializers.UUIDField()
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()
    has_more = serializers.BooleanField()
    checkpoints = CheckpointSerializer(many=True)

    example = {
        "run_id": RUN,
        "total": 1,
        "limit": 20,
        "offset": 0,
        "has_more": False,
        "checkpoints": [CHECKPOINT],
    }


class StateMetricsSerializer(StrictSerializer):
    total_tokens = serializers.IntegerField(help_text="What the run had used by then.")
    total_steps = serializers.IntegerField()


class StateSerializer(CheckpointSerializer):
    """The whole state after a step."""

    parent_id = serializers.UUIDField(
        allow_null=True, help_text="The checkpoint before it, while it is kept."
    )
    run_id = serializers.UUIDField()
    status = serializers.CharField(help_text="`completed`, or `running`: there was something left to do.")
    messages = StateMessageSerializer(many=True)
    metrics = StateMetricsSerializer()
    state = serializers.DictField(
        allow_null=True,
        help_text="Of a workflow: the fields of its state. Null: an agent's.",
    )
    output = serializers.JSONField(
        allow_null=True, help_text="What a workflow has come to, once it has: any JSON."
    )
    agent_config = serializers.DictField(
        help_text="The agent, or the workflow, as the run uses it, without secrets."
    )

    example = STATE

    class Meta(CheckpointSerializer.Meta):
        fields = list(STATE)
        read_only_fields = fields

    def to_representation(self, instance: State) -> dict[str, Any]:  # type: ignore[override]
        return state_json(instance)


class MessagesDiffSerializer(StrictSerializer):
    common = serializers.IntegerField(help_text="How many messages both begin with.")
    removed = StateMessageSerializer(many=True, help_text="What follows here.")
    added = StateMessageSerializer(many=True, help_text="What follows in the other.")


class DiffSerializer(StrictSerializer):
    """What another checkpoint has in the place of what this one has."""

    checkpoint_id = serializers.UUIDField()
    messages = MessagesDiffSerializer()
    metrics = serializers.DictField(help_text="`{name: {old, new}}`")
    state = serializers.DictField(help_text="Of workflows: `{field: {old, new}}`.")
    agent_config = serializers.DictField(help_text="`{dotted path: {old, new}}`")

    example = DIFF

    def get_fields(self) -> dict[str, Any]:
        # `with` is a word of the language, so the field is made where it cannot be written.
        return {"with": serializers.UUIDField(), **super().get_fields()}


class RestoreSerializer(StrictSerializer):
    """How to go back."""

    create_new_run = serializers.BooleanField(
        default=True, help_text="False: the run itself is set back; it has to be paused, or to wait."
    )
    modifications = ModificationsSerializer(required=False)

    example = {"create_new_run": True}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("modifications") and not attrs["create_new_run"]:
            message = "A run that is set back stays what it is. Leave them out, or create a new run."
            raise serializers.ValidationError({"modifications": message})
        return attrs


class RestoredSerializer(StrictSerializer):
    """What a restore has done."""

    new_run_id = serializers.UUIDField(allow_null=True, help_text="Null where the run itself was set back.")
    message = serializers.CharField()

    example = {"new_run_id": RUN, "message": "A new run goes on from the checkpoint."}


class ForkSerializer(StrictSerializer):
    """Why, and what is to be otherwise."""

    description = DescriptionField()
    modifications = ModificationsSerializer(default=dict)

    example = FORK


class ForkedSerializer(RestoredSerializer):
    """The new run, and the checkpoint that it comes from."""

    new_run_id = serializers.UUIDField()
    checkpoint_id = serializers.UUIDField()

    example = {"new_run_id": RUN, "checkpoint_id": CHECKPOINT["id"], "message": "The fork is queued."}


class RelativeSerializer(StrictSerializer):
    """A run in its family."""

    id = serializers.UUIDField()
    parent_id = serializers.UUIDField(allow_null=True)
    relation = serializers.CharField(help_text="What it is to its parent: fork, restore, retry, child.")
    source_checkpoint_id = serializers.UUIDField(allow_null=True)
    step_num = serializers.IntegerField(allow_null=True, help_text="The step after which it branches off.")
    description = serializers.CharField()
    status = serializers.CharField()
    created_at = serializers.DateTimeField()
    depth = serializers.IntegerField(help_text="Generations from the root.")


class LineageSerializer(StrictSerializer):
    """A run's family, generation by generation."""

    root_id = serializers.UUIDField()
    total = serializers.IntegerField(help_text="How many are shown.")
    truncated = serializers.BooleanField(help_text="True: there are more.")
    runs = RelativeSerializer(many=True)

    example = LINEAGE
