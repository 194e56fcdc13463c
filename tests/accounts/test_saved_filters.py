"""Filters of the admin's lists that people save under a name."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.audit import AuditEntry
from accounts.models import Membership, SavedFilter
from accounts.saved_filters import MOST, query_of
from runs.models import Status
from tests.factories import MembershipFactory, RunFactory, UserFactory
from tests.runs.admin_support import path_of, queries_of, said, signed_in

RUNS = path_of("runs.run", "changelist")
FAILED = "status=failed"


def save(user, name="Failures", query=FAILED, page="runs.run", **fields):
    form = {"list": page, "name": name, "query": query, **fields}
    return signed_in(user).post(reverse("saved-filters"), form)


def offered(user, path=RUNS) -> list[str]:
    return [row.name for row, _own, _chosen in signed_in(user).get(path).context["saved_filters"]]


def test_is_saved_under_its_name(olivia, workspace):
    response = save(olivia)
    saved = SavedFilter.objects.get()
    assert (saved.user, saved.workspace, saved.page, saved.query) == (olivia, workspace, "runs.run", FAILED)
    assert (response.url, said(response)) == (f"{RUNS}?{FAILED}", ["The filter “Failures” is saved."])


def test_leads_to_the_list_as_it_was(olivia, workspace):
    failed = RunFactory(workspace=workspace, status=Status.FAILED, error={"class": "timeout", "message": ""})
    RunFactory(workspace=workspace)
    save(olivia)
    page = signed_in(olivia).get(RUNS).content.decode()
    assert f'href="?{FAILED}"' in page
    shown = signed_in(olivia).get(f"{RUNS}?{FAILED}").context["cl"].result_list
    assert [run.pk for run in shown] == [failed.pk]


def test_forgets_the_page_and_says_which_one_is_chosen(olivia):
    save(olivia, query="status=failed&p=3&agent=&_popup=1")
    [(row, is_own, is_chosen)] = signed_in(olivia).get(f"{RUNS}?p=1&{FAILED}").context["saved_filters"]
    assert (row.query, is_own, is_chosen) == (FAILED, True, True)


def test_the_order_of_what_is_chosen_does_not_matter():
    assert query_of("b=2&a=1") == query_of("a=1&b=2")


def test_the_same_name_takes_the_place_of_the_earlier_one(olivia):
    save(olivia)
    save(olivia, query="status=queued")
    assert SavedFilter.objects.get().query == "status=queued"


def test_is_its_owners_alone(workspace, olivia, alice):
    save(olivia)
    assert (offered(olivia), offered(alice)) == (["Failures"], [])


def test_can_be_shared_in_the_workspace(workspace, olivia, vera):
    save(olivia, shared="on")
    assert offered(vera) == ["Failures"]


def test_is_shared_by_those_who_operate(workspace, vera, olivia):
    save(vera, shared="on")
    assert (offered(vera), offered(olivia)) == (["Failures"], [])


def test_is_shared_with_no_other_workspace(other_workspace, olivia):
    save(olivia, shared="on")
    stranger = MembershipFactory(workspace=other_workspace, role="admin").user
    assert offered(stranger) == []


def test_is_gone_with_the_membership(workspace, olivia, vera):
    save(olivia, shared="on")
    Membership.objects.filter(user=vera).delete()
    MembershipFactory(user=vera, role="viewer")
    assert offered(vera) == []


def test_belongs_to_its_list(olivia):
    save(olivia)
    assert offered(olivia, path_of("agents.agent", "changelist")) == []


def test_is_removed_by_its_owner_alone(workspace, olivia, vera):
    save(olivia, shared="on")
    address = reverse("saved-filter-remove", args=[SavedFilter.objects.get().pk])
    assert signed_in(vera).post(address).status_code == 404
    assert signed_in(olivia).get(address).status_code == 405
    assert signed_in(olivia).post(address).url == RUNS
    assert not SavedFilter.objects.exists()


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"name": " "}, "Give the filter a name of at most 60 characters."),
        ({"name": "x" * 61}, "Give the filter a name of at most 60 characters."),
        ({"query": "p=2"}, "The list is not filtered. Choose filters or search first."),
        ({"query": f"q={'x' * 1000}"}, "The filter is too long to be saved."),
    ],
)
def test_says_what_is_wrong(olivia, fields, fault):
    assert said(save(olivia, **fields)) == [fault]
    assert not SavedFilter.objects.exists()


def test_has_an_end(olivia, workspace):
    own = {"user": olivia, "workspace": workspace, "page": "runs.run", "query": FAILED}
    SavedFilter.objects.bulk_create(SavedFilter(name=f"filter {number}", **own) for number in range(MOST))
    assert "already" in said(save(olivia))[0]


@pytest.mark.parametrize("page", ["runs.run", "agents.tool", "no.such"])
def test_is_of_lists_that_one_may_look_at(audrey, page):
    assert save(audrey, page=page).status_code == 404


@pytest.mark.django_db
def test_is_nobodys_outside_of_workspaces():
    assert save(UserFactory(is_superuser=True))
    assert not SavedFilter.objects.exists()


def test_leads_nowhere_else(olivia):
    response = save(olivia, query="next=https://evil.example.com&status=failed")
    assert response.url.startswith(f"{RUNS}?")


def test_stands_in_the_audit_log(olivia):
    save(olivia)
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.resource_type, entry.resource_name) == ("created", "SavedFilter", "Failures")


def test_costs_the_same_however_many_there_are(workspace, olivia, django_assert_num_queries):
    save(olivia)
    client = signed_in(olivia)
    queries_of(client, RUNS)
    few = queries_of(client, RUNS)
    own = {"user": olivia, "workspace": workspace, "page": "runs.run", "query": FAILED}
    SavedFilter.objects.bulk_create(SavedFilter(name=f"filter {number}", **own) for number in range(9))
    with django_assert_num_queries(few):
        client.get(RUNS)
