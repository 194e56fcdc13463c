"""The JSON of workflows, and what their verbs are asked with."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import StrictSerializer
from agents import validation
from agents.api import examples, representations
from agents.api.fields import NameField, ObjectField
from agents.api.serializers import COMMON, MAX_TAGS, STAMPS, ConfigurationSerializer
from agents.models import Configuration, Workflow
from agents.workflows import drafts
from agents.workflows.text import LONGEST_TEXT

MOST_VERSIONS = 2_147_483_647


class SourceField(serializers.CharField):
    """A document as YAML or JSON, kept as it was written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=LONGEST_TEXT, trim_whitespace=False, **options)


class VersionNumberField(serializers.IntegerField):
    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=MOST_VERSIONS, **options)


class WorkflowSerializer(ConfigurationSerializer):
    """A workflow's draft. It is written as `document` or as `source`, one of the two."""

    rows = representations.workflows
    name = NameField(required=False, help_text="Unique in the workspace. Without it: the source's own.")
    tags = serializers.ListField(
        child=serializers.CharField(max_length=50), required=False, max_length=MAX_TAGS
    )
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    document = ObjectField(required=False, help_text="`{input, state, nodes, edges}`; see /workflows/schema.")
    source = SourceField(  # type: ignore[assignment]
        required=False,
        help_text="The same as YAML or JSON, with comments. Answered as it was written.",
    )
    published_version = serializers.IntegerField(
        read_only=True, allow_null=True, help_text="Which runs; null: none yet."
    )
    published_at = serializers.DateTimeField(read_only=True, allow_null=True)

    example = examples.WORKFLOW

    class Meta:
        model = Workflow
        fields = [*COMMON, "tags", "document", "source", "published_version", "published_at", *STAMPS]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        written = self._written(attrs)
        if written is not None:
            attrs = {**self._values_of(written, attrs), **attrs}
        elif self.instance is None or not self.partial:
            raise serializers.ValidationError({"document": "Send the document, or source as YAML or JSON."})
        if self.instance is None and not attrs.get("name"):
            raise serializers.ValidationError({"name": "Give the workflow a name, here or in its source."})
        if "name" in attrs:
            validation.check_name(attrs["name"])
        return attrs

    def _written(self, attrs: dict[str, Any]) -> str | dict[str, Any] | None:
        """Takes it out of `attrs`. Where both are sent back as they were read, the one that was changed counts."""
        given = {name: attrs.pop(name) for name in ("source", "document") if name in attrs}
        stored = {name: getattr(self.instance, name, None) for name in given}
        changed = [name for name in given if given[name] != stored[name]]
        if len(changed) == 2:
            raise serializers.ValidationError({"document": "Send either document or source, one of the two."})
        return given.get(changed[0] if changed else "source", given.get("document"))

    def _values_of(self, written: str | dict[str, Any], attrs: dict[str, Any]) -> dict[str, Any]:
        name = str(attrs.get("name") or getattr(self.instance, "name", ""))
        if isinstance(written, dict):
            written = {**{part: attrs[part] for part in drafts.HEAD if attrs.get(part)}, **written}
        draft = drafts.read(self.actor.workspace_id, written, name)
        draft.require_valid()
        return draft.values

    def _saved(self, instance: Configuration, values: dict[str, Any]) -> Configuration:
        assert isinstance(instance, Workflow)
        return self.rows.get(pk=drafts.save(instance, self.actor, values).pk)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return representations.workflow_json(instance)


class WorkflowItemSerializer(WorkflowSerializer):
    """A workflow in a list: without its document."""

    example = {name: value for name, value in examples.WORKFLOW.items() if name not in ("document", "source")}

    class Meta(WorkflowSerializer.Meta):
        fields = [name for name in WorkflowSerializer.Meta.fields if name not in ("document", "source")]

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return representations.workflow_item_json(instance)


class DefinitionField(serializers.JSONField):
    """A document as text or as an object."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str | dict):
            raise serializers.ValidationError("Send YAML or JSON as a text, or an object.")
        return data


class LoadSerializer(StrictSerializer):
    """A whole workflow, its name among it."""

    definition = DefinitionField(help_text="YAML or JSON as a text, or the object.")
    publish = serializers.BooleanField(default=False, help_text="True: it runs from now on.")

    example = {"definition": examples.WORKFLOW["source"], "publish": True}


class ValidateSerializer(StrictSerializer):
    """What is looked at; of a workflow that is stored nothing need be sent."""

    document = ObjectField(required=False)
    source = SourceField(required=False, allow_blank=True)  # type: ignore[assignment]

    example = {"source": examples.WORKFLOW["source"]}


class FaultSerializer(StrictSerializer):
    path = serializers.CharField(help_text="Where in the document: nodes.<id>.<field>.")
    node = serializers.CharField(help_text="The node's id; empty outside of nodes.")
    field = serializers.CharField(help_text="Within the node.")
    message = serializers.CharField()
    line = serializers.IntegerField(allow_null=True, help_text="Of the source, from 1.")


class ValidationSerializer(StrictSerializer):
    """What is wrong with a document; nothing where it can be run."""

    valid = serializers.BooleanField()
    errors = FaultSerializer(many=True)  # type: ignore[assignment]

    example = {
        "valid": False,
        "errors": [
            {
                "path": "nodes.reply.output",
                "node": "reply",
                "field": "output",
                "message": "The state has no field 'anwser'. Declare it under state.",
                "line": 9,
            }
        ],
    }


class PublishSerializer(StrictSerializer):
    """Which version is to run, and which one it takes the place of."""

    version = VersionNumberField(required=False, help_text="Default: the draft. An older one rolls back.")
    replaces = VersionNumberField(
        required=False,
        allow_null=True,
        help_text="The version that you take for the published one, null for none: 409 where it is another.",
    )
    example = {"version": 4, "replaces": 3}


class WorkflowDiffSerializer(StrictSerializer):
    """From the one version to the other."""

    from_version = serializers.IntegerField()
    to_version = serializers.IntegerField()
    head = serializers.DictField(help_text="name, description, tags, enabled: `{path: {old, new}}`.")
    nodes = serializers.DictField(help_text="`added`, `removed`, `changed: {id: {path: {old, new}}}`.")
    edges = serializers.DictField(help_text="`added`, `removed`.")
    state = serializers.DictField()
    input = serializers.DictField()
