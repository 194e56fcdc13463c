"""LangGraph's contract of a store, held by its own in memory and by ours; and what only ours does."""

from __future__ import annotations

import pytest
from langgraph.store.base import BaseStore, GetOp, ListNamespacesOp, MatchCondition, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from agentplatform.lib.errors import Conflict, Invalid
from runs.memory import rows
from runs.memory.owners import Owner
from runs.memory.rows import MOST_MEMORIES
from runs.memory.store import MemoryStore
from runs.models import Memory
from tests.factories import AgentFactory, MemoryFactory

pytestmark = pytest.mark.django_db

PEOPLE = ("people",)


@pytest.fixture
def own(workspace, alice) -> Owner:
    return Owner(workspace.pk, alice.pk)


@pytest.fixture
def mine(own) -> MemoryStore:
    return MemoryStore(own)


@pytest.fixture(params=["LangGraph's", "ours"])
def store(request, mine) -> BaseStore:
    return mine if request.param == "ours" else InMemoryStore()


@pytest.fixture
def people(store) -> BaseStore:
    """Three people, and a cat in another namespace."""
    store.put(PEOPLE, "ann", {"name": "Ann", "age": 30, "home": {"city": "Berlin", "zip": "10115"}})
    store.put(PEOPLE, "ben", {"name": "Ben", "age": 40, "home": {"city": "Hamburg"}, "likes": ["tea", "go"]})
    store.put((*PEOPLE, "abroad"), "cem", {"name": "Cem", "age": 50, "home": None})
    store.put(("cats",), "tom", {"name": "Tom"})
    return store


def keys(found) -> list[str]:
    return sorted(item.key for item in found)


# what every store does


def test_gives_back_what_was_put(store):
    store.put(PEOPLE, "ann", {"name": "Ann", "tags": ["a", "b"], "none": None})

    item = store.get(PEOPLE, "ann")

    assert (item.namespace, item.key, item.value) == (
        PEOPLE,
        "ann",
        {"name": "Ann", "tags": ["a", "b"], "none": None},
    )


def test_gives_none_of_what_is_not_there(people):
    assert people.get(PEOPLE, "tom") is None


def test_tells_apart_the_same_key_in_two_namespaces(store):
    store.put(("one",), "key", {"value": 1})
    store.put(("two",), "key", {"value": 2})

    assert store.get(("one",), "key").value == {"value": 1}


def test_replaces_what_is_put_again(people):
    people.put(PEOPLE, "ann", {"name": "Anna"})

    assert people.get(PEOPLE, "ann").value == {"name": "Anna"}


def test_removes_what_is_deleted(people):
    people.delete(PEOPLE, "ann")

    assert people.get(PEOPLE, "ann") is None


def test_deletes_what_is_not_there(store):
    store.delete(PEOPLE, "nobody")


def test_dates_what_is_put(store):
    store.put(PEOPLE, "ann", {"name": "Ann"})

    item = store.get(PEOPLE, "ann")

    assert item.created_at <= item.updated_at
    assert item.created_at.tzinfo


@pytest.mark.parametrize("namespace", [(), ("a.b",), ("",), ("langgraph",)])
def test_refuses_a_namespace_that_is_none(store, namespace):
    with pytest.raises(ValueError, match=r"[Nn]amespace"):
        store.put(namespace, "key", {"value": 1})


def test_searches_a_namespace_with_those_below_it(people):
    assert keys(people.search(PEOPLE)) == ["ann", "ben", "cem"]


def test_searches_everything_without_a_namespace(people):
    assert keys(people.search(())) == ["ann", "ben", "cem", "tom"]


def test_searches_no_namespace_that_only_begins_alike(people):
    people.put(("peoples",), "dan", {"name": "Dan"})

    assert keys(people.search(PEOPLE)) == ["ann", "ben", "cem"]


def test_pages(people):
    pages = [people.search(PEOPLE, limit=2, offset=offset) for offset in (0, 2, 4)]

    assert [len(page) for page in pages] == [2, 1, 0]
    assert keys([item for page in pages for item in page]) == ["ann", "ben", "cem"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"name": "Ann"}, ["ann"]),
        ({"name": "Ann", "age": 40}, []),
        ({"name": {"$eq": "Ann"}}, ["ann"]),
        ({"name": {"$ne": "Ann"}}, ["ben", "cem"]),
        ({"age": {"$gt": 30}}, ["ben", "cem"]),
        ({"age": {"$gte": 30, "$lt": 50}}, ["ann", "ben"]),
        ({"age": {"$lte": 30}}, ["ann"]),
        ({"home": {"city": "Berlin"}}, ["ann"]),
        ({"home": {"city": {"$ne": "Berlin"}}}, ["ben"]),
        ({"home": None}, ["cem"]),
        ({"likes": ["tea", "go"]}, ["ben"]),
        ({"likes": ["tea"]}, []),
        ({"missing": 1}, []),
        ({"name' OR 1=1 --": "Ann"}, []),
        ({}, ["ann", "ben", "cem"]),
    ],
)
def test_filters(people, wanted, found):
    assert keys(people.search(PEOPLE, filter=wanted)) == found


def test_refuses_an_operator_that_there_is_not(people):
    with pytest.raises(ValueError, match="Unsupported operator"):
        people.search(PEOPLE, filter={"age": {"$like": 3}})


def test_lists_namespaces(people):
    assert people.list_namespaces() == [("cats",), PEOPLE, (*PEOPLE, "abroad")]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"prefix": ("people",)}, [("people",), ("people", "abroad")]),
        ({"suffix": ("abroad",)}, [("people", "abroad")]),
        ({"prefix": ("people", "*")}, [("people", "abroad")]),
        ({"max_depth": 1}, [("cats",), ("people",)]),
        ({"limit": 1, "offset": 1}, [("people",)]),
        ({"prefix": ("nowhere",)}, []),
    ],
)
def test_lists_some_namespaces(people, wanted, found):
    assert people.list_namespaces(**wanted) == found


def test_answers_a_batch_in_its_order(people):
    results = people.batch(
        [
            GetOp(PEOPLE, "ann"),
            PutOp(PEOPLE, "dan", {"name": "Dan"}),
            SearchOp(PEOPLE, filter={"age": 40}),
            ListNamespacesOp(match_conditions=(MatchCondition("prefix", ("cats",)),)),
            GetOp(PEOPLE, "dan"),
        ]
    )

    assert (results[0].key, results[1], keys(results[2]), results[3], results[4]) == (
        "ann",
        None,
        ["ben"],
        [("cats",)],
        # Reads of a batch see what was there before it.
        None,
    )


def test_takes_the_last_of_two_writes_to_one_place(store):
    store.batch([PutOp(PEOPLE, "ann", {"name": "Ann"}), PutOp(PEOPLE, "ann", {"name": "Anna"})])

    assert store.get(PEOPLE, "ann").value == {"name": "Anna"}


@pytest.mark.django_db(transaction=True)
async def test_does_the_same_asynchronously(store):
    await store.aput(PEOPLE, "ann", {"name": "Ann"})

    assert (await store.aget(PEOPLE, "ann")).value == {"name": "Ann"}
    assert keys(await store.asearch(PEOPLE)) == ["ann"]
    assert await store.alist_namespaces() == [PEOPLE]
    await store.adelete(PEOPLE, "ann")
    assert await store.aget(PEOPLE, "ann") is None


# what only ours does


def test_keeps_when_it_was_made(mine):
    mine.put(PEOPLE, "ann", {"name": "Ann"})
    made = mine.get(PEOPLE, "ann").created_at

    mine.put(PEOPLE, "ann", {"name": "Anna"})

    item = mine.get(PEOPLE, "ann")
    assert (item.created_at, item.updated_at > made) == (made, True)


def test_ranks_by_words(mine):
    mine.put(PEOPLE, "ann", {"likes": "green tea", "from": "Berlin"})
    mine.put(PEOPLE, "ben", {"likes": "coffee", "notes": ["he drinks tea in Berlin"]})
    mine.put(PEOPLE, "cem", {"likes": "milk"})

    found = mine.search(PEOPLE, query="Who drinks tea in Berlin?")

    assert [item.key for item in found] == ["ben", "ann"]
    assert found[0].score > found[1].score


def test_finds_nothing_by_signs_alone(mine):
    mine.put(PEOPLE, "ann", {"name": "Ann"})

    assert mine.search(PEOPLE, query="?! ' | & :*") == []


@pytest.mark.parametrize("other", ["user", "end_user", "agent", "workspace"])
def test_reaches_nothing_of_another_owner(mine, own, other, workspace, other_workspace, bob):
    agent = AgentFactory(workspace=workspace)
    others = {
        "user": Owner(workspace.pk, bob.pk),
        "end_user": Owner(workspace.pk, own.user_id, "first"),
        "agent": Owner(workspace.pk, own.user_id, "", agent.pk),
        "workspace": Owner(other_workspace.pk, own.user_id),
    }
    theirs = MemoryStore(others[other])
    theirs.put(PEOPLE, "ann", {"name": "Ann"})

    mine.delete(PEOPLE, "ann")

    assert (mine.get(PEOPLE, "ann"), mine.search(()), mine.list_namespaces()) == (None, [], [])
    assert theirs.get(PEOPLE, "ann")


def test_refuses_what_is_too_large(mine):
    with pytest.raises(Invalid, match="takes up to 4,096 bytes"):
        mine.put(PEOPLE, "ann", {"text": "x" * 4_090})


def test_takes_what_is_just_not_too_large(mine):
    mine.put(PEOPLE, "ann", {"text": "x" * (rows.MOST_BYTES - len('{"text":""}'))})


@pytest.mark.parametrize(
    "place", [(("n" * 201,), "key"), (("a",) * 9, "key"), (PEOPLE, "k" * 201), (PEOPLE, "")]
)
def test_refuses_a_place_that_no_index_takes(mine, place):
    with pytest.raises(Invalid):
        mine.put(*place, {"name": "Ann"})


def test_takes_the_longest_place_in_any_script(mine, own):
    emoji = "\N{HOT BEVERAGE}\N{PERSON IN LOTUS POSITION}" * 100
    store = MemoryStore(Owner(own.workspace_id, own.user_id, emoji))

    store.put((emoji,), emoji, {"name": emoji})

    assert store.get((emoji,), emoji)


def test_takes_no_more_than_a_thousand(mine, workspace, alice):
    fill(workspace, alice)

    with pytest.raises(Conflict, match="1,000 memories already"):
        mine.put(PEOPLE, "ann", {"name": "Ann"})
    assert Memory.objects.count() == MOST_MEMORIES


def test_changes_one_of_a_thousand(mine, workspace, alice):
    fill(workspace, alice)
    last = Memory.objects.first()

    mine.put(tuple(last.namespace), last.key, {"content": "new"})

    assert mine.get(tuple(last.namespace), last.key).value == {"content": "new"}


def test_counts_those_of_an_end_user_apart(mine, own, workspace, alice):
    fill(workspace, alice)

    MemoryStore(Owner(own.workspace_id, own.user_id, "first")).put(PEOPLE, "ann", {"name": "Ann"})


def test_writes_all_or_nothing(mine):
    with pytest.raises(Invalid):
        mine.batch([PutOp(PEOPLE, "ann", {"name": "Ann"}), PutOp(PEOPLE, "ben", {"text": "x" * 5_000})])

    assert mine.get(PEOPLE, "ann") is None


def test_makes_unstorable_characters_storable(mine):
    mine.put(PEOPLE, "ann", {"name": "A\x00nn\ud800"})

    assert mine.get(PEOPLE, "ann").value["name"].startswith("A\ufffdnn")


def fill(workspace, user) -> None:
    Memory.objects.bulk_create(
        [MemoryFactory.build(workspace=workspace, user=user) for _ in range(MOST_MEMORIES)]
    )
