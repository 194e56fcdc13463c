"""Sessions and their messages: what clients send and are answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import NamedRelatedField, StrictModelSerializer, StrictSerializer
from agents.models import Agent
from runs.api.examples import ATTACHMENT_OBJECT, MESSAGE, MESSAGE_OBJECT, RUN, SESSION, SESSION_OBJECT
from runs.api.fields import EndingStrategyField, EndUserField, IdField, StrategyField, TextField
from runs.api.representations import attachment_json, message_json, session_json
from runs.conversations.attachments import MOST
from runs.models import Attachment, Message, Session


class SessionSerializer(StrictModelSerializer):
    """A conversation."""

    name = serializers.CharField(
        source="title", required=False, max_length=100, help_text="Without it: made from the first message."
    )
    agent = NamedRelatedField(
        queryset=Agent.objects.all(),
        required=False,
        allow_null=True,
        help_text="Name or id. Without it: the default agent.",
    )
    user_id = EndUserField(source="end_user")
    agent_state = serializers.DictField(
        read_only=True,
        help_text="Where the agent stands: checkpoint_id, run_id, step_num, saved_at; first of all {}.",
    )

    example = SESSION_OBJECT

    class Meta:
        model = Session
        fields = list(SESSION_OBJECT)
        read_only_fields = ["id", "created_at", "updated_at"]

    def to_representation(self, instance: Session) -> dict[str, Any]:
        return session_json(instance)


class AttachmentSerializer(StrictModelSerializer):
    """A file of a message."""

    example = ATTACHMENT_OBJECT

    class Meta:
        model = Attachment
        fields = list(ATTACHMENT_OBJECT)
        read_only_fields = fields

    def to_representation(self, instance: Attachment) -> dict[str, Any]:
        return attachment_json(instance)


class AttachmentUploadSerializer(StrictSerializer):
    """A form with one file."""

    file = serializers.FileField(help_text="PNG, JPEG, WebP, GIF, PDF, text, Markdown, CSV or JSON.")


class AttachmentsField(serializers.ListField):
    """Ids of attachments, each once."""

    child = IdField()

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MOST, **options)

    def to_internal_value(self, data: Any) -> list[Any]:
        return list(dict.fromkeys(super().to_internal_value(data)))


class MessageSerializer(StrictModelSerializer):
    """A message of a conversation."""

    run_id = serializers.UUIDField(
        allow_null=True, help_text="The run that it started, or that it is the answer of."
    )
    models_usage = serializers.DictField(
        allow_null=True, help_text="input_tokens, output_tokens, total_tokens."
    )
    metadata = serializers.DictField(
        help_text="stopped: true where somebody has stopped the answer, and this is what was streamed of it."
    )
    variants = serializers.ListField(
        child=serializers.UUIDField(),
        help_text="The versions of the message at this place, the oldest first, itself among them.",
    )
    attachments = AttachmentSerializer(many=True, help_text="Files sent along.")

    example = MESSAGE_OBJECT

    class Meta:
        model = Message
        fields = list(MESSAGE_OBJECT)
        read_only_fields = fields

    def to_representation(self, instance: Message) -> dict[str, Any]:
        return message_json(instance)


class SessionChatSerializer(StrictSerializer):
    """A message to a conversation."""

    content = TextField()
    source = serializers.CharField(  # type: ignore[assignment]
        default="user", max_length=100, help_text="Who speaks, for people who read it."
    )
    type = serializers.CharField(default="text", max_length=32)
    attachments = AttachmentsField(default=list, help_text="Ids of files that were uploaded to the session.")
    multitask_strategy = StrategyField()
    stream = serializers.BooleanField(default=False, help_text="True: the run's events as they happen.")

    example = {"source": "user", "content": "What is 17 * 23?", "type": "text"}


class EditMessageSerializer(StrictSerializer):
    """What a message says instead."""

    content = TextField()
    attachments = AttachmentsField(
        required=False, help_text="Ids of files, new or of the message itself. Left out: the message's own."
    )
    multitask_strategy = EndingStrategyField()
    stream = serializers.BooleanField(default=False, help_text="True: the run's events as they happen.")

    example = {"content": "What is 17 * 24?"}


class RegenerateSerializer(StrictSerializer):
    """Another answer."""

    multitask_strategy = EndingStrategyField()
    stream = serializers.BooleanField(default=False, help_text="True: the run's events as they happen.")

    example = {"stream": False}


class SelectMessageSerializer(StrictSerializer):
    """Another branch."""

    multitask_strategy = EndingStrategyField()

    example: dict[str, Any] = {}


class SelectedSerializer(StrictSerializer):
    """The session as it stands now, and the message that was selected."""

    session = SessionSerializer()
    message = MessageSerializer()

    example = {"session": SESSION_OBJECT, "message": MESSAGE_OBJECT}


class StoppedSerializer(StrictSerializer):
    """The runs that were cancelled."""

    session_id = serializers.UUIDField()
    run_ids = serializers.ListField(child=serializers.UUIDField())
    message = serializers.CharField()

    example = {"session_id": SESSION, "run_ids": [RUN], "message": "1 run was cancelled."}


class BranchSessionSerializer(StrictSerializer):
    """Up to which message, and what the new session is called."""

    message_id = IdField()
    name = serializers.CharField(required=False, max_length=100, help_text="Without it: the session's own.")

    example = {"message_id": MESSAGE, "name": "Another way"}


class SessionChatAnswerSerializer(StrictSerializer):
    """The message as it is kept, and the run that answers it."""

    run_id = serializers.UUIDField()
    session = SessionSerializer()
    message = MessageSerializer()

    example = {"run_id": RUN, "session": SESSION_OBJECT, "message": MESSAGE_OBJECT}
