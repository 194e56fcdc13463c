"""The admin's base: memberships decide, and forms, choices and filters stay inside the tenant wall."""

from __future__ import annotations

import pytest
from django.contrib.admin import AdminSite
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from accounts.admin_base import TenantModelAdmin
from accounts.models import ApiKey, Workspace
from accounts.roles import Role
from agents.models import Agent, ChatModel, Tool
from tests.factories import ApiKeyFactory, MembershipFactory, UserFactory


class ToolAdmin(TenantModelAdmin):
    permission_resource = "tool"
    fields = ["name", "tool_kind"]
    list_filter = ["enabled", "workspace"]


class ModelAdmin(TenantModelAdmin):
    permission_resource = "model"


class AgentAdmin(TenantModelAdmin):
    permission_resource = "agent"
    fields = ["name", "model", "tools"]


class KeyAdmin(TenantModelAdmin):
    permission_resource = "api-key"


site = AdminSite()
site.register(Tool, ToolAdmin)
site.register(ChatModel, ModelAdmin)
site.register(Agent, AgentAdmin)
site.register(ApiKey, KeyAdmin)
tool_admin, agent_admin = site.get_model_admin(Tool), site.get_model_admin(Agent)


def request_of(user):
    request = RequestFactory().get("/admin/")
    request.user = user
    return request


@pytest.fixture
def tool(workspace):
    return Tool.objects.create(workspace=workspace, name="ours", tool_kind="function")


@pytest.fixture
def foreign_tool(other_workspace):
    return Tool.objects.create(workspace=other_workspace, name="theirs", tool_kind="function")


def names(user):
    return [tool.name for tool in tool_admin.get_queryset(request_of(user)).order_by("name")]


def may(user, verb, obj=None):
    return getattr(tool_admin, f"has_{verb}_permission")(request_of(user), obj)


def test_shows_the_rows_of_ones_workspaces(alice, tool, foreign_tool):
    assert names(alice) == ["ours"]


def test_shows_the_rows_of_all_ones_workspaces(alice, other_workspace, tool, foreign_tool):
    MembershipFactory(user=alice, workspace=other_workspace, role=Role.VIEWER)
    assert names(alice) == ["ours", "theirs"]


def test_shows_no_rows_where_the_role_may_not_read(alice, other_workspace, tool, foreign_tool):
    MembershipFactory(user=alice, workspace=other_workspace, role=Role.USER)
    assert names(alice) == ["ours"]


def test_shows_superusers_everything(db, tool, foreign_tool):
    assert names(UserFactory(is_superuser=True)) == ["ours", "theirs"]


@pytest.mark.parametrize("user", [AnonymousUser(), UserFactory.build(is_staff=True)])
def test_shows_staff_without_a_role_nothing(db, tool, user):
    assert (names(user), may(user, "view")) == ([], False)


def test_shows_an_inactive_superuser_nothing(db, tool):
    assert names(UserFactory(is_superuser=True, is_active=False)) == []


def test_shows_what_the_querysets_owner_rule_allows(bob, workspace):
    ApiKeyFactory(workspace=workspace)
    own = ApiKeyFactory(workspace=workspace, user=bob)
    assert list(site.get_model_admin(ApiKey).get_queryset(request_of(bob))) == [own]


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("alice", [True, True, True, True]),
        ("olivia", [True, True, True, True]),
        ("bob", [False, False, False, False]),
        ("vera", [True, False, False, False]),
        ("audrey", [False, False, False, False]),
        ("charlie", [False, False, False, False]),
    ],
)
def test_maps_roles_to_admin_permissions(request, tool, who, expected):
    user = request.getfixturevalue(who)
    verbs = ["view", "change", "delete"]
    found = [may(user, verb, tool) for verb in verbs]
    assert [found[0], may(user, "add", tool), *found[1:]] == expected


def test_hides_the_module_from_those_who_may_not_read(bob):
    assert not tool_admin.has_module_permission(request_of(bob))


def test_judges_an_object_in_its_own_workspace(alice, other_workspace, foreign_tool):
    MembershipFactory(user=alice, workspace=other_workspace, role=Role.VIEWER)
    assert (may(alice, "view", foreign_tool), may(alice, "change", foreign_tool)) == (True, False)


def test_judges_an_object_by_its_id(alice, tool, foreign_tool):
    assert (may(alice, "change", str(tool.pk)), may(alice, "change", str(foreign_tool.pk))) == (True, False)


def test_gives_nobody_a_permission_that_there_is_not(alice):
    key_admin = site.get_model_admin(ApiKey)
    assert not key_admin.has_delete_permission(request_of(alice))
    assert not key_admin.has_delete_permission(request_of(UserFactory(is_superuser=True)))


def test_reads_the_memberships_once_per_request(alice, tool):
    request = request_of(alice)
    with CaptureQueriesContext(connection) as queries:
        for _ in range(5):
            tool_admin.has_change_permission(request, tool)
    assert len(queries) == 1


def test_narrows_an_actions_rows(alice, other_workspace, tool, foreign_tool):
    MembershipFactory(user=alice, workspace=other_workspace, role=Role.VIEWER)
    assert list(tool_admin.permitted(request_of(alice), Tool.objects.all(), "write:tool")) == [tool]


def test_knows_the_actor_of_an_action(alice, workspace):
    assert tool_admin.actor(request_of(alice), workspace.pk).role == Role.ADMIN


def test_acts_for_a_superuser_as_admin(workspace):
    assert tool_admin.actor(request_of(UserFactory(is_superuser=True)), workspace.pk).may("write:tool")


def test_acts_for_nobody_in_a_foreign_workspace(charlie, workspace):
    with pytest.raises(PermissionDenied):
        tool_admin.actor(request_of(charlie), workspace.pk)


# Choices and forms


def choices(admin, field, user):
    form = admin.get_form(request_of(user))()
    return set(form.fields[field].queryset)


def test_offers_related_rows_of_ones_workspaces(alice, tool, foreign_tool):
    assert choices(agent_admin, "tools", alice) == {tool}


def test_offers_the_workspaces_that_one_may_write_in(alice, workspace, other_workspace):
    MembershipFactory(user=alice, workspace=other_workspace, role=Role.VIEWER)
    assert choices(agent_admin, "workspace", alice) == {workspace}


def test_offers_superusers_all_workspaces(workspace, other_workspace):
    assert choices(agent_admin, "workspace", UserFactory(is_superuser=True)) == set(Workspace.objects.all())


def test_offers_people_from_ones_workspaces(alice, bob, charlie):
    offered = agent_admin.get_field_queryset(None, ApiKey._meta.get_field("user"), request_of(alice))
    assert set(offered) == {alice, bob}


def test_adds_the_workspace_to_the_form(alice):
    assert agent_admin.get_fieldsets(request_of(alice))[0] == (None, {"fields": ["workspace"]})


def test_fixes_the_workspace_of_an_object(alice, tool):
    assert "workspace" in tool_admin.get_readonly_fields(request_of(alice), tool)


def test_chooses_the_only_workspace(alice, workspace):
    assert agent_admin.get_changeform_initial_data(request_of(alice))["workspace"] == workspace.pk


def test_leaves_the_choice_among_several(alice, other_workspace):
    MembershipFactory(user=alice, workspace=other_workspace, role=Role.ADMIN)
    assert "workspace" not in agent_admin.get_changeform_initial_data(request_of(alice))


def agent_form(user, workspace, tools, model):
    form = agent_admin.get_form(request_of(user))
    return form(
        {"workspace": workspace.pk, "name": "assistant", "tools": [t.pk for t in tools], "model": model.pk}
    )


@pytest.fixture
def model(workspace):
    return ChatModel.objects.create(workspace=workspace, name="small", provider="demo", model="demo")


def test_accepts_rows_of_one_workspace(alice, workspace, tool, model):
    assert agent_form(alice, workspace, [tool], model).is_valid()


def test_refuses_rows_of_another_workspace_even_of_ones_own(
    alice, workspace, other_workspace, foreign_tool, model
):
    MembershipFactory(user=alice, workspace=other_workspace, role=Role.ADMIN)
    assert "tools" in agent_form(alice, workspace, [foreign_tool], model).errors


def test_refuses_rows_of_a_foreign_workspace(alice, workspace, foreign_tool, model):
    assert "tools" in agent_form(alice, workspace, [foreign_tool], model).errors


def test_refuses_a_foreign_workspace(alice, other_workspace, tool, model):
    assert "workspace" in agent_form(alice, other_workspace, [tool], model).errors


def test_filters_by_workspaces_that_one_may_read(alice, other_workspace, tool):
    request = request_of(alice)
    name, filter_class = tool_admin.get_list_filter(request)[1]
    field = Tool._meta.get_field(name)
    offered = filter_class.field_choices(None, field, request, tool_admin)
    assert [label for _, label in offered] == ["acme"]
