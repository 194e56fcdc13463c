"""POST /runs and POST /runs/{id}/retry with an Idempotency-Key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from runs.models import IdempotencyKey, Run
from tests.factories import ApiKeyFactory

BODY = {"input": "What is 17 * 23?", "tags": ["eu"]}


@pytest.fixture
def start(api, agent):
    def post(caller, body=BODY, key="order-1204"):
        return api(caller).post("/runs", body, headers={"Idempotency-Key": key})

    return post


def test_returns_the_first_run_to_a_repeat(start, alice):
    assert start(alice).json()["id"] == start(alice).json()["id"]


def test_answers_a_repeat_like_the_first(start, alice):
    start(alice)

    assert start(alice).status_code == 202


def test_makes_one_run(start, alice):
    start(alice)
    start(alice)

    assert Run.objects.count() == 1


def test_refuses_the_key_with_another_body(start, alice):
    start(alice)

    assert start(alice, BODY | {"tags": ["us"]}).status_code == 422


def test_names_the_header_where_it_refuses(start, alice):
    start(alice)

    assert start(alice, {"input": "Other"}).json()["error"]["details"][0]["field"] == "Idempotency-Key"


def test_keeps_the_keys_of_people_apart(start, alice, bob):
    assert start(alice).json()["id"] != start(bob).json()["id"]


def test_keeps_the_keys_of_a_user_and_its_api_key_apart(start, alice, workspace):
    key = ApiKeyFactory(workspace=workspace, user=alice)

    assert start(alice).json()["id"] != start(key).json()["id"]


def test_makes_a_new_run_after_a_day(start, alice):
    first = start(alice).json()["id"]
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))

    assert start(alice).json()["id"] != first


def test_takes_a_key_of_255_characters(start, alice):
    assert start(alice, key="k" * 255).status_code == 202


def test_refuses_a_longer_key(start, alice):
    assert start(alice, key="k" * 256).status_code == 422


@pytest.mark.django_db(transaction=True)
def test_makes_one_run_of_two_requests_at_once(start, alice):
    def post(_):
        try:
            return start(alice).json()["id"]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(post, range(4)))) == 1


# retry


@pytest.fixture
def retry(api, alice):
    def post(run, key="again-1204"):
        answer = api(alice).post(f"/runs/{run}/retry", headers={"Idempotency-Key": key})
        return answer.json().get("run_id"), answer.status_code

    return post


def test_tries_a_run_again_once(start, alice, retry):
    run = start(alice).json()["id"]

    assert retry(run) == retry(run)
    assert Run.objects.filter(parent_id=run, relation="retry").count() == 1


def test_refuses_the_key_for_another_run(start, alice, retry):
    first, second = (start(alice, key=key).json()["id"] for key in ("one", "two"))
    retry(first)

    assert retry(second) == (None, 422)
