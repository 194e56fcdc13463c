"""GET /runs/{id}/stream and GET /runs/{id}/wait: whom and what they refuse."""

from __future__ import annotations

import pytest

from tests.factories import RunEventFactory, RunFactory

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def ended(workspace, alice):
    """A run that ended long ago, with one event."""
    run = RunFactory(workspace=workspace, user=alice)
    RunEventFactory(
        run=run, type="run_completed", data={"run_id": str(run.pk), "response": "x", "metrics": {}}
    )
    return run


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "9" * 30, ""])
def test_refuses_a_place_that_is_none(api, alice, ended, after):
    assert api(alice).get(f"/runs/{ended.pk}/stream", {"after": after}).status_code == 422


def test_refuses_a_last_event_id_that_is_none(api, alice, ended):
    assert api(alice).get(f"/runs/{ended.pk}/stream", headers={"Last-Event-ID": "x"}).status_code == 422


@pytest.mark.parametrize("timeout", ["301", "-1", "x", ""])
def test_refuses_to_wait_for(api, alice, ended, timeout):
    assert api(alice).get(f"/runs/{ended.pk}/wait", {"timeout": timeout}).status_code == 422


@pytest.mark.parametrize("path", ["stream", "wait"])
@pytest.mark.parametrize(("who", "code"), [("charlie", 404), ("bob", 404), ("audrey", 403), ("vera", 200)])
def test_lets_follow_whoever_may_see_the_run(api, ended, request, path, who, code):
    assert api(request.getfixturevalue(who)).get(f"/runs/{ended.pk}/{path}").status_code == code


@pytest.mark.parametrize("path", ["stream", "wait"])
def test_asks_whoever_is_not_signed_in_to_sign_in(api, ended, path):
    assert api().get(f"/runs/{ended.pk}/{path}").status_code == 401


@pytest.mark.parametrize("path", ["stream", "wait"])
def test_says_that_a_run_does_not_exist(api, alice, path):
    assert api(alice).get(f"/runs/nonsense/{path}").json()["error"]["type"] == "RunNotFound"


@pytest.mark.parametrize("path", ["stream", "wait"])
def test_answers_get_only(api, alice, ended, path):
    assert api(alice).post(f"/runs/{ended.pk}/{path}")["Allow"] == "GET"


@pytest.mark.parametrize("ticket", ["nonsense", "eyJnonsense", "ap_nonsense"])
def test_refuses_a_ticket_that_is_none(api, ended, ticket):
    assert (
        api()
        .get(f"/runs/{ended.pk}/stream", {"ticket": ticket})
        .json()["error"]["message"]
        .startswith("The ticket")
    )
