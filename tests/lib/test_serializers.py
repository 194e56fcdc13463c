"""Serializers: unknown fields are named, related objects are taken by id or name from inside the wall."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers

from accounts.models import ApiKey
from agentplatform.lib.serializers import NamedRelatedField, ShownOnce, StrictSerializer
from tests.factories import ApiKeyFactory


class Nested(StrictSerializer):
    depth = serializers.IntegerField()


class Outer(StrictSerializer):
    id = serializers.CharField(read_only=True)
    name = serializers.CharField()
    nested = Nested(required=False)


class Key(ShownOnce, StrictSerializer):
    shown_once = "text"
    text = serializers.CharField()


class Related(StrictSerializer):
    one = NamedRelatedField(queryset=ApiKey.objects.all(), required=False)
    many = NamedRelatedField(queryset=ApiKey.objects.all(), many=True, required=False)


def errors(serializer):
    serializer.is_valid()
    return serializer.errors


def test_shows_once_what_is_made_once():
    assert (Key({"text": "ap_1"}).data, Key({"text": ""}).data) == ({"text": "ap_1"}, {})


def test_names_an_unknown_field_and_the_known_ones():
    assert "name, nested" in errors(Outer(data={"name": "x", "nmae": "y"}))["nmae"][0]


def test_reports_unknown_fields_beside_other_errors():
    assert set(errors(Outer(data={"nmae": "y"}))) == {"name", "nmae"}


def test_names_an_unknown_field_inside_a_nested_object():
    assert "deep" in errors(Outer(data={"name": "x", "nested": {"depth": 1, "deep": 2}}))["nested"]


def test_ignores_read_only_fields_so_that_an_answer_can_be_sent_back():
    assert errors(Outer(data={"id": "1", "name": "x"})) == {}


@pytest.mark.parametrize("data", [[], "text", 5, None])
def test_refuses_what_is_no_object(data):
    assert errors(Outer(data=data))


@pytest.fixture
def key(workspace):
    return ApiKeyFactory(workspace=workspace, name="mine")


@pytest.fixture
def related(actor, alice):
    def of(**data):
        return Related(data=data, context={"actor": actor(alice)})

    return of


def test_takes_a_name(related, key):
    serializer = related(one="mine")
    serializer.is_valid(raise_exception=True)
    assert serializer.validated_data["one"] == key


def test_takes_an_id(related, key):
    serializer = related(one=str(key.pk))
    serializer.is_valid(raise_exception=True)
    assert serializer.validated_data["one"] == key


def test_answers_the_name(key):
    assert Related({"one": key, "many": [key]}).data == {"one": "mine", "many": ["mine"]}


@pytest.mark.parametrize("form", ["name", "pk"])
def test_does_not_see_another_workspace(related, other_workspace, form):
    theirs = ApiKeyFactory(workspace=other_workspace, name="theirs")
    assert "one" in errors(related(one=str(getattr(theirs, form))))


def test_names_what_is_missing(related):
    assert "'ghost'" in errors(related(many=["ghost"]))["many"][0]


@pytest.mark.parametrize("identifier", [5, {"name": "mine"}, ["mine"], True])
def test_refuses_an_identifier_that_is_no_text(related, identifier):
    assert "as a string" in errors(related(one=identifier))["one"][0]


@pytest.mark.parametrize("many", ["mine", {"a": 1}, 5])
def test_refuses_a_list_that_is_none(related, many):
    assert "many" in errors(related(many=many))


def test_keeps_the_order_and_drops_repeats(related, workspace):
    first, second = ApiKeyFactory(workspace=workspace, name="a"), ApiKeyFactory(workspace=workspace, name="b")
    serializer = related(many=["b", "a", str(second.pk)])
    serializer.is_valid(raise_exception=True)
    assert serializer.validated_data["many"] == [second, first]


def test_finds_many_in_one_query(related, workspace):
    names = [ApiKeyFactory(workspace=workspace).name for _ in range(5)]
    serializer = related(many=names)
    with CaptureQueriesContext(connection) as queries:
        serializer.is_valid(raise_exception=True)
    assert len(queries) == 1
