"""Lists: pages, totals, cursors, and what is refused."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from accounts.models import User
from agentplatform.lib import pagination
from agentplatform.lib.errors import Invalid
from agentplatform.lib.pagination import Pagination
from tests.factories import UserFactory


class Large:
    keyset = True


def page(queryset, query="", view=None):
    """The envelope of one page."""
    paginator = Pagination()
    rows = paginator.paginate_queryset(queryset, Request(APIRequestFactory().get(f"/{query}")), view)
    return paginator.get_paginated_response([getattr(row, "username", row) for row in rows]).data


@pytest.fixture
def users(db):
    for number in range(5):
        UserFactory(username=f"user{number}")
    return User.objects.order_by("username")


def test_answers_the_envelope(users):
    assert page(users, "?limit=2&offset=1") == {
        "total": 5,
        "total_is_capped": False,
        "limit": 2,
        "offset": 1,
        "has_more": True,
        "items": ["user1", "user2"],
    }


def test_has_twenty_items_unless_told(users):
    assert page(users)["limit"] == 20


def test_ends_with_the_last_item(users):
    assert page(users, "?limit=2&offset=4")["has_more"] is False


def test_counts_beyond_the_end(users):
    assert page(users, "?offset=50")["total"] == 5


def test_asks_for_no_count_where_the_page_holds_the_end(users):
    with CaptureQueriesContext(connection) as queries:
        page(users)
    assert len(queries) == 1


def test_counts_without_ordering(users):
    with CaptureQueriesContext(connection) as queries:
        page(users, "?limit=1")
    assert "ORDER BY" not in queries[-1]["sql"]


def test_stops_counting_at_the_cap(users, monkeypatch):
    monkeypatch.setattr(pagination, "TOTAL_CAP", 3)
    answer = page(users, "?limit=1")
    assert (answer["total"], answer["total_is_capped"]) == (3, True)


def test_knows_a_total_that_is_exactly_the_cap(users, monkeypatch):
    monkeypatch.setattr(pagination, "TOTAL_CAP", 5)
    answer = page(users, "?limit=1")
    assert (answer["total"], answer["total_is_capped"]) == (5, False)


def test_pages_a_plain_list():
    assert page(list("abc"), "?limit=1&offset=1")["items"] == ["b"]


@pytest.mark.parametrize("limit", ["0", "-1", "201", "x", "", "1.5", "9" * 30, "１"])
def test_refuses_a_limit_that_is_no_number_in_range(users, limit):
    with pytest.raises(Invalid, match="limit"):
        page(users, f"?limit={limit}")


@pytest.mark.parametrize("offset", ["-1", "x", "1.5"])
def test_refuses_an_offset_that_is_no_whole_number(users, offset):
    with pytest.raises(Invalid, match="offset"):
        page(users, f"?offset={offset}")


@pytest.mark.parametrize("offset", ["100001", "9" * 30])
def test_points_to_the_cursor_where_an_offset_is_too_deep(users, offset):
    with pytest.raises(Invalid, match="cursor"):
        page(users, f"?offset={offset}")


def test_reads_a_large_list_to_its_end_by_cursor(users):
    newest, seen, cursor = users.order_by("-id"), [], ""
    while cursor is not None:
        answer = page(newest, f"?limit=2&cursor={cursor}", Large())
        seen, cursor = seen + answer["items"], answer["next_cursor"]
    assert seen == ["user4", "user3", "user2", "user1", "user0"]


def test_keeps_its_place_while_rows_are_added(users):
    newest = users.order_by("-id")
    cursor = page(newest, "?limit=2", Large())["next_cursor"]
    UserFactory(username="newcomer")
    assert page(newest, f"?limit=2&cursor={cursor}", Large())["items"] == ["user2", "user1"]


def test_counts_the_whole_list_on_a_cursors_page(users):
    newest = users.order_by("-id")
    cursor = page(newest, "?limit=4", Large())["next_cursor"]
    assert page(newest, f"?cursor={cursor}", Large())["total"] == 5


def test_gives_no_cursor_in_another_order(users):
    assert page(users, "?limit=2", Large())["next_cursor"] is None


@pytest.mark.parametrize("query", ["?cursor=abc", "?cursor=%00", "?cursor=ü", f"?cursor={'A' * 40}"])
def test_refuses_what_is_no_cursor(users, query):
    with pytest.raises(Invalid, match="cursor"):
        page(users.order_by("-id"), query, Large())


def test_refuses_a_cursor_with_an_offset(users):
    with pytest.raises(Invalid, match="offset"):
        page(users.order_by("-id"), "?cursor=&offset=1", Large())


def test_refuses_a_cursor_with_another_order(users):
    with pytest.raises(Invalid, match="ordering"):
        page(users, "?cursor=", Large())


def test_refuses_a_cursor_where_there_is_none(users):
    with pytest.raises(Invalid, match="offset"):
        page(users, "?cursor=")
