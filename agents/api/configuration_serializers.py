"""The JSON of configuration endpoints."""

from __future__ import annotations

from rest_framework import serializers

from agentplatform.lib.serializers import StrictSerializer
from agents.api import examples
from agents.api.workflow_serializers import VersionNumberField
from agents.configuration.kinds import COMPONENTS

CHANGES_HELP = (
    "Dotted path → `{old, new}`; null stands for absent too. Of a secret that differs: how the values end."
)
LONGEST_BODY = 2_000_000
"""Characters; a command takes more (`agents.configuration.text.LONGEST`)."""
CHANGES = ("created", "updated", "deleted", "unchanged")


class PageSerializer(StrictSerializer):
    """The page's part of an answer."""

    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()
    has_more = serializers.BooleanField()


class ConfigItemSerializer(StrictSerializer):
    name = serializers.CharField()
    type = serializers.CharField(help_text=f"One of: {', '.join(COMPONENTS)}.")
    description = serializers.CharField()
    enabled = serializers.BooleanField()
    tags = serializers.ListField(child=serializers.CharField())


class ConfigListSerializer(PageSerializer):
    configs = ConfigItemSerializer(many=True)

    example = {
        "total": 1,
        "limit": 20,
        "offset": 0,
        "has_more": False,
        "configs": [
            {"name": "fast", "type": "model", "description": "For short answers", "enabled": True, "tags": []}
        ],
    }


class ConfigSerializer(StrictSerializer):
    """A component with its fields, which depend on its type; a secret as `${secret:…}`."""

    type = serializers.CharField(help_text=f"One of: {', '.join(COMPONENTS)}.")
    name = serializers.CharField()
    description = serializers.CharField()

    example = examples.CONFIG


class ConfigWriteSerializer(StrictSerializer):
    """What the component is to be. What is left out takes its default; a secret stays."""

    config = serializers.DictField(help_text="`{type, name, …}`, as GET answers it.")
    validate_only = serializers.BooleanField(
        default=False, help_text="True: everything is checked, and nothing is changed."
    )

    example = {"config": examples.CONFIG, "validate_only": False}


class ConfigChangeSerializer(StrictSerializer):
    """What has become of a component or, with `validate_only`, would."""

    success = serializers.BooleanField()
    message = serializers.CharField()
    type = serializers.CharField()
    name = serializers.CharField()
    change = serializers.ChoiceField(choices=CHANGES)
    version = serializers.IntegerField(allow_null=True, help_text="Null: it has no versions.")
    validate_only = serializers.BooleanField()
    changes = serializers.DictField(help_text=CHANGES_HELP)

    example = {
        "success": True,
        "message": "The model 'fast' is updated.",
        "type": "model",
        "name": "fast",
        "change": "updated",
        "version": 4,
        "validate_only": False,
        "changes": examples.CONFIG_CHANGES,
    }


class HistoryEntrySerializer(StrictSerializer):
    version = serializers.IntegerField()
    change_type = serializers.CharField(help_text="created, updated, restored or deleted.")
    timestamp = serializers.DateTimeField()
    author = serializers.CharField()
    old_config = serializers.DictField(allow_null=True, help_text="Null: it was created then.")
    new_config = serializers.DictField(allow_null=True)


class ConfigHistorySerializer(PageSerializer):
    """The changes of a component, the newest first."""

    component_name = serializers.CharField()
    type = serializers.CharField()
    history = HistoryEntrySerializer(many=True)

    example = {
        "component_name": "fast",
        "type": "model",
        "total": 1,
        "limit": 20,
        "offset": 0,
        "has_more": False,
        "history": [
            {
                "version": 1,
                "change_type": "created",
                "timestamp": "2026-11-20T09:00:00Z",
                "author": "alice",
                "old_config": None,
                "new_config": examples.CONFIG,
            }
        ],
    }


class ConfigDiffSerializer(StrictSerializer):
    """What differs between two versions."""

    component_name = serializers.CharField()
    type = serializers.CharField()
    from_version = serializers.IntegerField()
    to_version = serializers.IntegerField()
    changes = serializers.DictField(help_text=CHANGES_HELP)

    example = {
        "component_name": "fast",
        "type": "model",
        "from_version": 3,
        "to_version": 4,
        "changes": examples.CONFIG_CHANGES,
    }


class ConfigRestoreSerializer(StrictSerializer):
    version = VersionNumberField(help_text="The number of the version that it is to be again.")

    example = {"version": 3}


class ConfigImportSerializer(StrictSerializer):
    """A configuration as text, and values for the secrets that it names."""

    configuration = serializers.CharField(
        max_length=LONGEST_BODY, trim_whitespace=False, help_text="YAML or JSON as a text."
    )
    secrets = serializers.DictField(
        child=serializers.CharField(max_length=4000, trim_whitespace=False),
        default=dict,
        write_only=True,
        help_text="Name → value, for the text's `${secret:name}`. One that is left out stays as it is.",
    )

    example = {
        "configuration": examples.CONFIGURATION_TEXT,
        "secrets": {"model/fast/api_key": "sk-…"},
    }


class ImportSummarySerializer(StrictSerializer):
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    deleted = serializers.IntegerField()
    unchanged = serializers.IntegerField()


class ImportChangeSerializer(StrictSerializer):
    type = serializers.CharField()
    name = serializers.CharField()
    change = serializers.ChoiceField(choices=CHANGES)
    changes = serializers.DictField(help_text=CHANGES_HELP)


class ConfigImportedSerializer(StrictSerializer):
    """What an import has changed or, as a dry run, would change."""

    success = serializers.BooleanField()
    message = serializers.CharField()
    dry_run = serializers.BooleanField()
    summary = ImportSummarySerializer()
    changes = ImportChangeSerializer(many=True)

    example = {
        "success": True,
        "message": "1 component would change.",
        "dry_run": True,
        "summary": {"created": 0, "updated": 1, "deleted": 0, "unchanged": 7},
        "changes": [
            {"type": "model", "name": "fast", "change": "updated", "changes": examples.CONFIG_CHANGES}
        ],
    }
