"""What has been said, found again: messages of a session by time, search in one and in all."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runs.conversations import search
from tests.factories import SessionFactory
from tests.runs.conversations import START, one_a_minute

pytestmark = pytest.mark.django_db


@pytest.fixture
def session(workspace, alice):
    return SessionFactory(workspace=workspace, user=alice, title="Refunds & returns")


@pytest.fixture
def say(session):
    return one_a_minute(session)


@pytest.fixture
def found(api, alice):
    """`found("words")`: the texts of what alice finds, the best first."""

    def search(q: str, who=alice, **query) -> list[str]:
        answer = api(who).get("/api/v1/history/search", {"q": q, **query})
        assert answer.status_code == 200, answer.content
        return [item["message"]["content"] for item in answer.json()["items"]]

    return search


def test_finds_words_whatever_their_case(say, found):
    say("The Refund was sent.")
    say("Nothing of the kind.")
    assert found("refund") == ["The Refund was sent."]


def test_finds_what_stands_in_quotes_as_it_stands(say, found):
    say("a late refund")
    say("refund, but late")
    assert found('"late refund"') == ["a late refund"]


def test_leaves_out_what_has_a_word_that_is_not_wanted(say, found):
    say("refund by card")
    say("refund by bank")
    assert found("refund -card") == ["refund by bank"]


@pytest.mark.parametrize("q", ["退货", "货政", "退货政策", "策", "政策 order"])
def test_finds_any_part_of_chinese(say, found, q):
    say("请问你们的退货政策是什么？order 77")
    say("今天天气很好")
    assert found(q) == ["请问你们的退货政策是什么？order 77"]


def test_finds_no_pair_that_stands_apart(say, found):
    say("退了货")
    assert found("退货") == []


def test_puts_the_better_match_first(say, found):
    say("refund refund refund")
    say("a refund, and a lot of other words that have nothing to do with it at all")
    assert found("refund")[0] == "refund refund refund"


def test_answers_a_page_as_other_lists_do(api, alice, say, monkeypatch):
    monkeypatch.setattr(search, "RANKED", 2)
    for _ in range(3):
        say("refund")
    answer = api(alice).get("/api/v1/history/search", {"q": "refund", "limit": 1}).json()
    del answer["items"]
    assert answer == {"total": 2, "total_is_capped": True, "limit": 1, "offset": 0, "has_more": True}


def test_says_where_the_words_stand(api, alice, say):
    say("x" * 300 + " the refund <b>now</b>")
    [item] = api(alice).get("/api/v1/history/search", {"q": "refund"}).json()["items"]
    [[start, end]] = item["matches"]
    assert item["snippet"][start:end] == "refund"


def test_finds_in_ones_own_sessions_only(say, found, workspace, bob):
    say("my refund")
    say("another refund", of=SessionFactory(workspace=workspace, user=bob))
    assert found("refund", who=bob) == ["another refund"]


def test_finds_nothing_of_another_workspace(say, found, other_workspace):
    say("their refund", of=SessionFactory(workspace=other_workspace))
    assert found("refund") == []


def test_searches_one_session(api, alice, say, session, workspace):
    say("my refund")
    say("another refund", of=SessionFactory(workspace=workspace, user=alice))
    answer = api(alice).get(f"/api/v1/history/sessions/{session.pk}/search", {"q": "refund"}).json()
    assert [item["message"]["content"] for item in answer["items"]] == ["my refund"]


def test_finds_in_a_time(say, found):
    say("early refund")
    say("late refund")
    assert found("refund", start_time=(START + timedelta(seconds=30)).isoformat()) == ["late refund"]


@pytest.mark.parametrize("q", ["", "   ", "x" * 201])
def test_refuses_what_cannot_be_looked_for(api, alice, q):
    answer = api(alice).get("/api/v1/history/search", {"q": q})
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "q")


@pytest.mark.parametrize(
    "q",
    [
        "'",
        "\\",
        "a & | b",
        "(",
        ":*",
        '"',
        "!!",
        "退'",
        "%",
        "a:b",
        "-",
        "or",
    ],
)
def test_takes_any_text_for_words(api, alice, say, q):
    say("anything")
    assert api(alice).get("/api/v1/history/search", {"q": q}).status_code in (200, 422)


def test_stores_texts_of_any_length(say, found):
    say("word " * 60_000 + "退货" * 30_000)
    assert len(found("word")) == 1


def test_reads_messages_of_a_time_and_of_one_who_speaks(api, alice, say, session):
    say("one")
    say("two", source="assistant")
    say("three")
    url = f"/api/v1/history/sessions/{session.pk}/messages"
    answer = api(alice).get(url, {"source": "user", "end_time": (START + timedelta(minutes=2)).isoformat()})
    assert [item["content"] for item in answer.json()["items"]] == ["one"]
