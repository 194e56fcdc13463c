"""The API's description: what operations have in common, and views that are not Django REST framework's."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import path
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiParameter, extend_schema
from drf_spectacular.validation import validate_schema
from rest_framework import mixins, serializers
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from accounts.api.base import TenantModelViewSet
from agentplatform.lib.schema import documented, failures
from agentplatform.lib.serializers import (
    NamedRelatedField,
    ShownOnce,
    StrictModelSerializer,
    StrictSerializer,
)
from agents.models import Agent, Tool


class Question(StrictSerializer):
    text = serializers.CharField(write_only=True)
    answer = serializers.CharField(read_only=True)
    example = {"text": "How are you?", "answer": "Well."}


class Key(ShownOnce, StrictSerializer):
    shown_once = "text"
    prefix = serializers.CharField(read_only=True)
    text = serializers.CharField(read_only=True)


class ToolSerializer(StrictModelSerializer):
    agents = NamedRelatedField(queryset=Agent.objects.all(), many=True)
    example = {"id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e", "name": "calculator", "agents": ["assistant"]}

    class Meta:
        model = Tool
        fields = ["id", "name", "agents"]


class ToolViewSet(TenantModelViewSet):
    """Tools of agents."""

    queryset = Tool.objects.all()
    serializer_class = ToolSerializer
    keyset = True


class OpenView(APIView, mixins.CreateModelMixin):
    authentication_classes = []
    serializer_class = Question

    def post(self, request):
        """Ask anybody.

        No token is needed.
        """
        return Response({})


class FoundView(APIView):
    authentication_classes = []

    @extend_schema(parameters=[OpenApiParameter("q", str)], responses=Key)
    def get(self, request):
        """Find a key."""


@documented("POST", permission="execute:agent", request=Question, responses={200: Question, **failures(402)})
async def chat(request: HttpRequest) -> HttpResponse:
    """Chat with an agent.

    Answers a stream.
    """
    return HttpResponse()


router = SimpleRouter(trailing_slash=False)
router.register("api/v1/tools", ToolViewSet)
PATTERNS = [
    path("api/v1/open", OpenView.as_view()),
    path("api/v1/found", FoundView.as_view()),
    path("api/v1/chat", chat),
    *router.urls,
]


@pytest.fixture(scope="module")
def schema():
    return SchemaGenerator(patterns=PATTERNS).get_schema(public=True)


@pytest.fixture
def operation(schema):
    return lambda path, method: schema["paths"][f"/api/v1/{path}"][method]


def test_is_valid_openapi(schema):
    validate_schema(schema)


def test_warns_of_nothing(schema):
    assert not GENERATOR_STATS


@pytest.mark.parametrize(
    ("path", "method", "summary"),
    [
        ("tools", "get", "List tools"),
        ("tools", "post", "Create a tool"),
        ("tools/{id}", "get", "Read a tool"),
        ("tools/{id}", "put", "Replace a tool"),
        ("tools/{id}", "patch", "Change a tool"),
        ("tools/{id}", "delete", "Delete a tool"),
        ("open", "post", "Ask anybody"),
        ("chat", "post", "Chat with an agent"),
    ],
)
def test_has_a_summary_for_everything(operation, path, method, summary):
    assert operation(path, method)["summary"] == summary


def test_describes_with_the_rest_of_the_docstring(operation):
    assert operation("chat", "post")["description"] == "Answers a stream."


def test_tags_by_resource(operation):
    assert operation("tools/{id}", "get")["tags"] == ["tools"]


def test_says_that_names_do_where_ids_do(operation):
    parameter = next(p for p in operation("tools/{id}", "get")["parameters"] if p["name"] == "id")
    assert (parameter["description"], parameter["schema"]) == ("Id or name.", {"type": "string"})


def test_documents_the_workspace_header(operation):
    assert "X-Workspace" in {p["name"] for p in operation("tools", "get")["parameters"]}


def test_documents_no_workspace_header_where_nobody_signs_in(operation):
    assert "parameters" not in operation("open", "post")


def test_takes_a_token_a_key_or_the_session_of_a_page(operation):
    assert operation("tools", "get")["security"] == [{"token": []}, {"apiKey": []}, {"session": []}]


@pytest.mark.parametrize(
    ("path", "method", "codes"),
    [
        ("tools", "get", {"200", "400", "401", "403", "404", "422", "429", "500", "503"}),
        ("tools/{id}", "get", {"200", "400", "401", "403", "404", "429", "500", "503"}),
        ("found", "get", {"200", "400", "422", "500", "503"}),
        (
            "tools",
            "post",
            {"201", "400", "401", "403", "404", "409", "413", "415", "422", "429", "500", "503"},
        ),
        ("tools/{id}", "delete", {"204", "400", "401", "403", "404", "409", "429", "500", "503"}),
        ("open", "post", {"200", "400", "409", "413", "415", "422", "429", "500", "503"}),
    ],
)
def test_documents_the_errors_that_apply(operation, path, method, codes):
    assert set(operation(path, method)["responses"]) == codes


def test_documents_a_views_own_errors(operation):
    assert "402" in operation("chat", "post")["responses"]


def test_shows_the_one_error_shape(operation):
    content = operation("tools", "get")["responses"]["404"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/Error"}


def test_describes_the_lists_envelope(schema):
    properties = schema["components"]["schemas"]["PaginatedToolList"]["properties"]
    assert {"total", "total_is_capped", "limit", "offset", "has_more", "items", "next_cursor"} == set(
        properties
    )


def test_requires_of_answers_what_all_of_them_have(schema):
    assert schema["components"]["schemas"]["Key"]["required"] == ["prefix"]


def test_describes_related_objects_by_their_names(schema):
    agents = schema["components"]["schemas"]["Tool"]["properties"]["agents"]
    assert agents == {"type": "array", "items": {"type": "string"}}


def test_documents_the_cursor_of_large_lists(operation):
    assert "cursor" in {p["name"] for p in operation("tools", "get")["parameters"]}


def example(body):
    return body["content"]["application/json"]["examples"]["Example"]["value"]


def test_shows_what_to_send(operation):
    assert example(operation("chat", "post")["requestBody"]) == {"text": "How are you?"}


def test_shows_what_is_answered(operation):
    assert example(operation("chat", "post")["responses"]["200"]) == {"answer": "Well."}


def test_shows_lists_in_their_envelope(operation):
    assert example(operation("tools", "get")["responses"]["200"])["items"] == [ToolSerializer.example]


def test_tells_walks_which_permission_an_async_view_needs():
    assert chat.cls.permissions == {"post": "execute:agent"}
