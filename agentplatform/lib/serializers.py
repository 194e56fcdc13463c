"""Serializers that say what they do not understand, and fields that speak names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model, Q
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.relations import MANY_RELATION_KWARGS

from agentplatform.lib.ids import as_uuid


class Strict:
    """Mixin: a field that the serializer does not know is an error that names it.

    Read-only fields may be sent and are ignored, so that an object can be read, changed and sent back.
    """

    fields: Any

    def to_internal_value(self, data: Any) -> Any:
        unknown = self._unknown(data)
        try:
            value = super().to_internal_value(data)  # type: ignore[misc]
        except serializers.ValidationError as error:
            if unknown and isinstance(error.detail, dict):
                raise serializers.ValidationError({**unknown, **error.detail}) from error
            raise
        if unknown:
            raise serializers.ValidationError(unknown)
        return value

    def _unknown(self, data: Any) -> dict[str, list[str]]:
        if not isinstance(data, Mapping):
            return {}
        known = ", ".join(name for name, field in self.fields.items() if not field.read_only)
        return {
            str(name): [f"There is no such field; the fields are: {known}."]
            for name in data
            if name not in self.fields
        }


class ShownOnce:
    """Mixin: the field `shown_once` is in the answer that has made it, and in no other.

    The API's description reads the name as well: the field is not required in answers.
    """

    shown_once: str

    def to_representation(self, instance: Any) -> dict[str, Any]:
        shown: dict[str, Any] = super().to_representation(instance)  # type: ignore[misc]
        return {name: value for name, value in shown.items() if name != self.shown_once or value}


class StrictSerializer(Strict, serializers.Serializer[Any]):
    """The base of every serializer that is not tied to a model."""


class StrictModelSerializer(Strict, serializers.ModelSerializer[Any]):
    """The base of every model's serializer."""


@extend_schema_field(OpenApiTypes.STR)
class NamedRelatedField(serializers.RelatedField[Any, Any, Any]):
    """Another object of the workspace: takes its id or name, answers its name.

    Objects are looked up through `visible_to(actor)` only; the actor comes from the serializer's context.
    With `many=True` all of them are found in one query.
    """

    default_error_messages = {
        "missing": "There is no {resource} {identifier!r} in this workspace.",
        "not_text": "Use the id or the name of the {resource}, as a string.",
    }

    @classmethod
    def many_init(cls, *args: Any, **kwargs: Any) -> serializers.ManyRelatedField:
        own = {name: kwargs[name] for name in kwargs if name in MANY_RELATION_KWARGS}
        return ManyNamed(child_relation=cls(*args, **kwargs), **own)

    def use_pk_only_optimization(self) -> bool:
        return False

    def to_representation(self, value: Any) -> str:
        return str(value.name)

    def to_internal_value(self, data: Any) -> Model:
        return self.find([data])[0]

    def find(self, identifiers: list[Any]) -> list[Model]:
        """The rows with these ids or names, in this order, in one query."""
        for identifier in identifiers:
            if not isinstance(identifier, str):
                self.fail("not_text", resource=self.resource())
        keys = [key for identifier in identifiers if (key := as_uuid(identifier))]
        visible = self.rows().visible_to(self.context["actor"])
        rows = list(visible.filter(Q(pk__in=keys) | Q(name__in=identifiers)))
        found = {row.name: row for row in rows} | {str(row.pk): row for row in rows}
        return [self._pick(found, identifier) for identifier in identifiers]

    def _pick(self, found: dict[str, Any], identifier: str) -> Any:
        row = found.get(str(as_uuid(identifier) or identifier))
        return (
            row if row is not None else self.fail("missing", resource=self.resource(), identifier=identifier)
        )

    def rows(self) -> Any:
        """A fresh copy of the field's tenant query set."""
        return self.get_queryset()

    def resource(self) -> str:
        return str(self.rows().model._meta.verbose_name)


class ManyNamed(serializers.ManyRelatedField):
    """A list of NamedRelatedField; a name that stands in it twice counts once."""

    child_relation: NamedRelatedField

    def to_internal_value(self, data: Any) -> list[Model]:
        if isinstance(data, str | Mapping) or not hasattr(data, "__iter__"):
            self.fail("not_a_list", input_type=type(data).__name__)
        identifiers = list(data)
        if not self.allow_empty and not identifiers:
            self.fail("empty")
        return list(dict.fromkeys(self.child_relation.find(identifiers)))
