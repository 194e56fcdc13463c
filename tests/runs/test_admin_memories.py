"""Memories in the admin: read, searched and deleted, never written."""

from __future__ import annotations

import pytest

from runs.models import Memory
from tests.factories import AgentFactory, MemoryFactory, RunFactory
from tests.runs.admin_support import queries_of, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/runs/memory/"


@pytest.fixture
def make(workspace, bob):
    def memory(content: str = "Likes tea.", **values) -> Memory:
        return MemoryFactory(**{"workspace": workspace, "user": bob, "value": {"content": content}} | values)

    return memory


def page_of(memory: Memory) -> str:
    return f"{LIST}{memory.pk}/change/"


def listed(client, **query) -> list[str]:
    return [row.content for row in client.get(LIST, query).context["cl"].result_list]


def test_lists_ones_own_and_for_admins_all(make, alice, bob, olivia):
    make("bob's")
    make("alice's", user=alice)

    assert listed(signed_in(bob)) == ["bob's"]
    assert listed(signed_in(olivia)) == []
    assert listed(signed_in(alice)) == ["alice's", "bob's"]


def test_shows_none_of_another_workspace(make, charlie):
    assert signed_in(charlie).get(page_of(make())).status_code == 302


def test_shows_what_it_says_to_read(make, bob, workspace):
    run = RunFactory(workspace=workspace, user=bob)
    memory = make("<b>Likes tea.</b>", run_id=run.pk)

    page = signed_in(bob).get(page_of(memory)).content.decode()

    assert '<span class="platform-text">&lt;b&gt;Likes tea.&lt;/b&gt;</span>' in page
    assert f"/admin/runs/run/{run.pk}/change/" in page
    assert 'name="value"' not in page


@pytest.mark.parametrize(
    ("term", "found"),
    [("tea", ["Likes tea."]), ("customer", ["Likes milk."]), ("alice", ["Likes mate."]), ("x" * 300, [])],
)
def test_searches(make, alice, term, found):
    make("Likes tea.")
    make("Likes milk.", end_user="customer")
    make("Likes mate.", user=alice)

    assert listed(signed_in(alice), q=term) == found


def test_narrows_by_agent_and_user(make, alice, workspace):
    agent = AgentFactory(workspace=workspace)
    make("of agent", agent=agent)
    make("of alice", user=alice)
    client = signed_in(alice)

    assert listed(client, agent=str(agent.pk)) == ["of agent"]
    assert listed(client, user=str(alice.pk)) == ["of alice"]


def test_offers_no_user_to_those_who_see_their_own_only(make, bob, alice):
    page = signed_in(bob).get(LIST).content.decode()

    assert f"user={alice.pk}" not in page


def test_lets_nobody_write(make, alice):
    client = signed_in(alice)
    memory = make()

    assert client.get(f"{LIST}add/").status_code == 403
    client.post(page_of(memory), {"value": '{"content": "Likes coffee."}'})

    assert Memory.objects.get().content == "Likes tea."


def test_deletes(make, alice):
    signed_in(alice).post(f"{LIST}{make().pk}/delete/", {"post": "yes"})

    assert not Memory.objects.exists()


def test_deletes_a_selection(make, bob):
    memories = [make(), make()]
    data = {
        "action": "delete_selected",
        "_selected_action": [str(memory.pk) for memory in memories],
        "post": "yes",
    }

    signed_in(bob).post(LIST, data)

    assert not Memory.objects.exists()


def test_lists_any_number_in_as_many_queries(make, alice):
    make()
    client = signed_in(alice)
    few = queries_of(client, LIST)
    for _ in range(5):
        make()

    assert queries_of(client, LIST) == few
