"""/memories: listed, searched, added, corrected and deleted, each by whose they are."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runs.memory.rows import MOST_MEMORIES
from runs.models import Memory
from tests.factories import AgentFactory, MemoryFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(workspace):
    return AgentFactory(workspace=workspace, name="helper")


@pytest.fixture
def make(workspace, bob):
    """`make("Likes tea.", user=alice)`: bob's unless said otherwise."""

    def memory(content: str = "Likes tea.", **values) -> Memory:
        return MemoryFactory(**{"workspace": workspace, "user": bob, "value": {"content": content}} | values)

    return memory


def contents(response) -> list[str]:
    return [item["content"] for item in response.json()["items"]]


def faults(response) -> list[str]:
    return [entry["field"] for entry in response.json()["error"]["details"]]


# added


def test_answers_what_was_added(api, bob, agent):
    body = {"content": "Likes tea.", "topic": "drinks", "agent": "helper", "user_id": "customer"}

    response = api(bob).post("/memories", body)

    made = response.json()
    assert (response.status_code, made["owner"], made["run_id"]) == (201, "bob", None)
    assert {name: made[name] for name in body} == body
    assert api(bob).get(f"/memories/{made['id']}").json() == made


def test_is_for_all_agents_and_no_end_user_unless_said_otherwise(api, bob):
    made = api(bob).post("/memories", {"content": "Likes tea."}).json()

    assert (made["agent"], made["user_id"], made["topic"], made["value"]) == (
        None,
        "",
        "",
        {"content": "Likes tea."},
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "content"),
        ({"content": " "}, "content"),
        ({"content": "茶" * 1400}, "content"),
        ({"content": "Tea", "agent": "nobody"}, "agent"),
        ({"content": "Tea", "topic": "t" * 101}, "topic"),
        ({"content": "Tea", "mood": "good"}, "mood"),
    ],
)
def test_says_which_field_is_wrong(api, bob, body, field):
    response = api(bob).post("/memories", body)

    assert (response.status_code, faults(response)) == (422, [field])


def test_takes_no_more_than_a_thousand(api, bob, workspace):
    Memory.objects.bulk_create(
        [MemoryFactory.build(workspace=workspace, user=bob) for _ in range(MOST_MEMORIES)]
    )

    response = api(bob).post("/memories", {"content": "One more."})

    assert (response.status_code, "1,000" in response.json()["error"]["message"]) == (409, True)


# listed


def test_lists_ones_own_and_for_admins_all(api, alice, olivia, bob, make):
    make("bob's")
    make("alice's", user=alice)

    assert contents(api(bob).get("/memories")) == ["bob's"]
    assert contents(api(olivia).get("/memories")) == []
    assert contents(api(alice).get("/memories")) == ["alice's", "bob's"]


def test_shows_none_of_another_workspace(api, charlie, make):
    memory = make()

    assert contents(api(charlie).get("/memories")) == []
    assert api(charlie).get(f"/memories/{memory.pk}").status_code == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"agent_id": "helper"}, ["of helper"]),
        ({"user_id": "customer"}, ["of customer"]),
        ({"owner": "alice"}, ["of alice"]),
        ({"q": "customer or helper"}, ["of helper", "of customer"]),
        ({"q": "ALICE"}, ["of alice"]),
        ({"q": "nobody"}, []),
    ],
)
def test_narrows_the_list(api, alice, make, agent, query, found):
    make("of customer", end_user="customer")
    make("of helper", agent=agent)
    make("of alice", user=alice)

    assert contents(api(alice).get("/memories", query)) == found


def test_puts_the_best_match_first(api, bob, make):
    make("Tea, tea and tea again: jasmine tea.")
    make("A long story, in which somebody has once had tea with milk.")

    assert contents(api(bob).get("/memories", {"q": "tea"}))[0].startswith("Tea, tea")


def test_finds_parts_of_chinese_sentences(api, bob, make):
    make("用户喜欢喝龙井茶。")

    assert len(contents(api(bob).get("/memories", {"q": "龙井"}))) == 1


@pytest.mark.parametrize("query", ["x" * 201, " "])
def test_refuses_to_search_for_what_is_no_query(api, bob, query):
    assert api(bob).get("/memories", {"q": query}).status_code in (200, 422)


def test_lists_any_number_in_few_queries(api, bob, make, agent):
    for number in range(8):
        make(agent=agent, key=str(number))

    with CaptureQueriesContext(
        connection,
    ) as few:
        api(bob).get("/memories")
    assert len([one for one in few if "runs_memory" in one["sql"]]) <= 2


# corrected


def test_corrects_what_it_says(api, bob, make):
    memory = make(value={"content": "Likes tea.", "topic": "drinks"})

    answer = api(bob).patch(f"/memories/{memory.pk}", {"content": "Likes coffee."}).json()

    assert (answer["content"], answer["topic"], answer["id"]) == ("Likes coffee.", "drinks", str(memory.pk))


def test_finds_it_by_what_it_says_now(api, bob, make):
    memory = make("Likes tea.")
    api(bob).patch(f"/memories/{memory.pk}", {"content": "Likes coffee."})

    assert contents(api(bob).get("/memories", {"q": "coffee"})) == ["Likes coffee."]
    assert contents(api(bob).get("/memories", {"q": "tea"})) == []


def test_corrects_nothing_of_others(api, alice, make):
    response = api(alice).patch(f"/memories/{make().pk}", {"content": "Likes coffee."})

    assert (response.status_code, Memory.objects.get().content) == (403, "Likes tea.")


# deleted


def test_deletes_one(api, bob, make):
    assert api(bob).delete(f"/memories/{make().pk}").status_code == 204
    assert not Memory.objects.exists()


def test_lets_admins_delete_those_of_others(api, alice, make):
    assert api(alice).delete(f"/memories/{make().pk}").status_code == 204


def test_deletes_all_of_ones_own(api, alice, bob, make):
    make()
    make(end_user="customer")
    make(user=alice)

    assert api(bob).delete("/memories").json() == {"deleted": 2}
    assert [memory.user_id for memory in Memory.objects.all()] == [alice.pk]


@pytest.mark.parametrize(("user_id", "left"), [("customer", ["of none"]), ("", ["of customer"])])
def test_deletes_those_of_an_end_user(api, bob, make, user_id, left):
    make("of customer", end_user="customer")
    make("of none")

    api(bob).delete(f"/memories?user_id={user_id}")

    assert [memory.content for memory in Memory.objects.all()] == left


def test_deletes_nothing_where_it_does_not_understand_which(api, bob, make):
    make()

    response = api(bob).delete("/memories?end_user=customer")

    assert (response.status_code, faults(response), Memory.objects.count()) == (422, ["end_user"], 1)


def test_keeps_those_of_another_workspace(api, bob, make, other_workspace):
    make(workspace=other_workspace)

    assert api(bob).delete("/memories").json() == {"deleted": 0}


def test_goes_with_the_account(bob, make):
    make()

    bob.delete()

    assert not Memory.objects.exists()
