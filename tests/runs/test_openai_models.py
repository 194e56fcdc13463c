"""The workspace's agents as the `openai` client lists them."""

from __future__ import annotations

import openai
import pytest

from accounts.tokens import AccessToken
from tests.factories import AgentFactory, ApiKeyFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def writer(workspace):
    return AgentFactory(workspace=workspace, name="writer")


def names(client) -> list[str]:
    return [model.id for model in client.models.list()]


def test_lists_the_agents_of_the_workspace(openai_client, writer, agent):
    assert names(openai_client()) == ["assistant", "writer"]


def test_leaves_out_those_that_are_disabled(openai_client, writer, workspace):
    AgentFactory(workspace=workspace, name="resting", enabled=False)

    assert names(openai_client()) == ["writer"]


def test_leaves_out_those_of_other_workspaces(openai_client, writer, other_workspace):
    AgentFactory(workspace=other_workspace, name="theirs")

    assert names(openai_client()) == ["writer"]


def test_names_owner_and_time(openai_client, writer):
    model = openai_client().models.retrieve("writer")

    assert (model.owned_by, model.created) == ("acme", int(writer.created_at.timestamp()))


def test_finds_an_agent_by_its_id(openai_client, writer):
    assert openai_client().models.retrieve(str(writer.pk)).id == "writer"


@pytest.mark.parametrize("name", ["nobody", "resting", "theirs"])
def test_finds_no_other(openai_client, workspace, other_workspace, name):
    AgentFactory(workspace=workspace, name="resting", enabled=False)
    AgentFactory(workspace=other_workspace, name="theirs")
    with pytest.raises(openai.NotFoundError) as refused:
        openai_client().models.retrieve(name)

    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_takes_a_token_for_a_key(openai_client, writer, alice):
    assert names(openai_client(api_key=str(AccessToken.for_user(alice)))) == ["writer"]


def test_acts_in_the_workspace_that_a_header_names(openai_client, alice, writer, other_workspace):
    alice.memberships.create(workspace=other_workspace, role="user")
    AgentFactory(workspace=other_workspace, name="theirs")
    headers = {"X-Workspace": "other"}

    assert names(openai_client(api_key=str(AccessToken.for_user(alice)), default_headers=headers)) == [
        "theirs"
    ]


@pytest.mark.parametrize("who", ["olivia", "bob", "vera"])
def test_shows_agents_to(openai_client, request, writer, who):
    assert names(openai_client(request.getfixturevalue(who))) == ["writer"]


def test_shows_no_agent_to_auditors(openai_client, audrey, writer):
    with pytest.raises(openai.PermissionDeniedError):
        openai_client(audrey).models.list()


def test_shows_no_agent_to_a_key_without_that_scope(openai_client, alice, workspace, writer):
    key = ApiKeyFactory(workspace=workspace, user=alice, scopes=["execute:agent"])
    with pytest.raises(openai.PermissionDeniedError):
        openai_client(api_key=key.text).models.list()
