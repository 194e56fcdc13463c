"""/ws/runs/{id}/ on the real server: who may connect, what is sent, which commands are taken, how it ends."""

from __future__ import annotations

import json
import socket as sockets
import time
import uuid
from contextlib import ExitStack, suppress
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from accounts.authentication import actor_from_session
from accounts.models import ApiKey, Membership, Ticket
from accounts.roles import Role
from accounts.tickets import issue_ticket
from accounts.tokens import AccessToken
from agents.launch import prepare
from runs import consumers, follow
from runs.models import Relation, Run, Status
from tests.factories import PASSWORD, ApiKeyFactory, ApprovalFactory, RunEventFactory, RunFactory

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_SECONDS = 10


class Socket:
    """A client's end of a socket."""

    def __init__(self, connection) -> None:
        self.connection = connection

    def send(self, frame) -> None:
        """A text or bytes as they are, anything else as JSON."""
        self.connection.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    def receive(self) -> dict:
        return json.loads(self.connection.recv(timeout=PATIENCE_SECONDS))

    def answer(self, frame) -> dict:
        """The answer to a command; events before it are passed over."""
        self.send(frame)
        while "action" not in (received := self.receive()):
            pass
        return received

    def frames(self) -> list[dict]:
        """All frames up to the close."""
        found = []
        try:
            while True:
                found.append(self.receive())
        except ConnectionClosed:
            return found

    def lose(self) -> None:
        """Breaks off without a word to the server."""
        self.connection.socket.shutdown(sockets.SHUT_RDWR)

    def closed(self) -> int:
        """The code that it is closed with."""
        self.frames()
        return self.connection.close_code


@pytest.fixture
def socket(server):
    """`socket(run, ticket="…")`: a socket on a run; `headers=` and the query as given."""
    with ExitStack() as opened:

        def open_socket(run, headers=None, **query):
            key = getattr(run, "pk", run)
            text = "&".join(f"{name}={value}" for name, value in query.items())
            url = f"{server.replace('http', 'ws')}/ws/runs/{key}/?{text}"
            return Socket(opened.enter_context(connect(url, additional_headers=headers or {})))

        yield open_socket


@pytest.fixture
def ended(workspace, alice):
    """A run of alice's that ended long ago, with three events."""
    run = RunFactory(workspace=workspace, user=alice)
    RunEventFactory(run=run, type="run_queued", data={"run_id": str(run.pk)})
    RunEventFactory(run=run)
    RunEventFactory(
        run=run, type="run_completed", data={"run_id": str(run.pk), "response": "x", "metrics": {}}
    )
    return run


@pytest.fixture
def waiting(workspace, alice):
    """A run of alice's that no worker has taken yet, with one event."""
    run = RunFactory(workspace=workspace, user=alice, status=Status.CREATED)
    RunEventFactory(run=run, type="run_queued", data={"run_id": str(run.pk)})
    return run


@pytest.fixture
def start(http, alice, agent_on):
    """`start("text-3")`: the id of a run of alice's that behaves so."""

    def post(behaviour):
        body = {"agent_id": str(agent_on(behaviour).pk), "message": "Hello"}
        return http(alice).post("/runs", json=body).json()["id"]

    return post


def ticket_of(user) -> str:
    return issue_ticket(actor_from_session(user, user.memberships.get().workspace_id))


def bearer(user) -> dict[str, str]:
    return {"Authorization": f"Bearer {AccessToken.for_user(user)}"}


def cookie(user) -> dict[str, str]:
    client = Client()
    client.force_login(user)
    return {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}


def numbers(frames) -> list[int]:
    return [frame["seq"] for frame in frames]


# who


def test_opens_by_a_ticket(socket, alice, ended):
    assert numbers(socket(ended, ticket=ticket_of(alice)).frames()) == [1, 2, 3]


def test_takes_a_ticket_once(socket, alice, ended):
    ticket = ticket_of(alice)
    socket(ended, ticket=ticket).frames()

    assert socket(ended, ticket=ticket).closed() == 4401


def test_takes_no_ticket_that_has_expired(socket, alice, ended):
    ticket = ticket_of(alice)
    Ticket.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert socket(ended, ticket=ticket).closed() == 4401


def test_opens_by_a_token_in_a_header(socket, alice, ended):
    assert numbers(socket(ended, bearer(alice)).frames()) == [1, 2, 3]


def test_opens_by_an_api_key_in_a_header(socket, alice, workspace, ended):
    key = ApiKeyFactory(workspace=workspace, user=alice)

    assert numbers(socket(ended, {"X-API-Key": key.text}).frames()) == [1, 2, 3]


def test_opens_by_the_cookie_of_a_page_of_ours(socket, server, alice, ended):
    assert numbers(socket(ended, cookie(alice) | {"Origin": server}).frames()) == [1, 2, 3]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1:1", ""]
)
def test_refuses_a_cookie_from_a_page_of_others(socket, alice, ended, origin):
    assert socket(ended, cookie(alice) | {"Origin": origin}).closed() == 4403


def test_refuses_a_cookie_that_says_no_origin(socket, alice, ended):
    assert socket(ended, cookie(alice)).closed() == 4403


def test_refuses_a_cookie_that_is_none(socket, server, ended):
    assert socket(ended, {"Cookie": "sessionid=nonsense", "Origin": server}).closed() == 4401


def test_refuses_whoever_says_nothing(socket, ended):
    assert socket(ended).closed() == 4401


@pytest.mark.parametrize("name", ["token", "access_token", "jwt", "authorization", "anything"])
def test_refuses_a_token_in_the_url(socket, alice, ended, name):
    assert socket(ended, **{name: AccessToken.for_user(alice)}).closed() == 4401


def test_refuses_an_api_key_in_the_url(socket, alice, workspace, ended):
    key = ApiKeyFactory(workspace=workspace, user=alice)

    assert socket(ended, api_key=key.text).closed() == 4401


@pytest.mark.parametrize("name", ["token", "anything"])
def test_refuses_a_token_in_the_url_even_beside_a_good_header(socket, alice, ended, name):
    assert socket(ended, bearer(alice), **{name: AccessToken.for_user(alice)}).closed() == 4401


@pytest.mark.parametrize("who", ["charlie", "bob"])
def test_hides_runs_that_one_may_not_see(socket, request, ended, who):
    assert socket(ended, bearer(request.getfixturevalue(who))).closed() == 4404


def test_refuses_whoever_may_read_no_runs(socket, audrey, ended):
    assert socket(ended, bearer(audrey)).closed() == 4403


@pytest.mark.parametrize("run", [uuid.UUID(int=7), "-" * 36, "0" * 35 + "-"])
def test_says_that_there_is_no_such_run(socket, alice, run):
    assert socket(run, bearer(alice)).closed() == 4404


def test_takes_no_command_from_whoever_it_refuses(socket, waiting):
    stranger = socket(waiting)
    with suppress(ConnectionClosed):  # Where the server's close was faster.
        stranger.send({"action": "cancel"})

    assert (stranger.closed(), Run.objects.get().status) == (4401, Status.CREATED)


# what


def test_sends_envelopes(socket, alice, ended):
    sent = socket(ended, bearer(alice)).frames()[1]

    assert sent.keys() == {"run_id", "seq", "attempt", "step", "node", "type", "timestamp", "data"}


@pytest.mark.parametrize(("after", "seen"), [(0, [1, 2, 3]), (2, [3]), (3, []), (10**17, [])])
def test_replays_what_comes_after_the_last_seen_event(socket, alice, ended, after, seen):
    assert numbers(socket(ended, bearer(alice), after=after).frames()) == seen


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "9" * 30, "%C2%B2", "%ff"])
def test_refuses_a_place_that_is_none(socket, alice, ended, after):
    assert socket(ended, bearer(alice), after=after).closed() == 4400


def test_closes_when_the_run_has_ended(socket, alice, ended):
    assert socket(ended, bearer(alice)).closed() == 1000


def test_follows_a_run_to_its_end_without_holes(socket, alice, start):
    sent = socket(start("text-20-20"), bearer(alice)).frames()

    assert (numbers(sent), sent[-1]["type"]) == (list(range(1, len(sent) + 1)), "run_completed")


def test_goes_on_where_a_lost_connection_has_broken_off(socket, alice, start):
    run, seen = start("text-30-20"), []
    while len(seen) < 12:
        lost = socket(run, bearer(alice), after=len(seen))
        seen += [lost.receive() for _ in range(4)]
        lost.lose()
    seen += socket(run, bearer(alice), after=len(seen)).frames()

    assert numbers(seen) == list(range(1, len(seen) + 1))


# commands


def test_cancels_a_run(socket, alice, start):
    run = start("hang")
    opened = socket(run, bearer(alice))
    opened.send({"action": "cancel", "reason": "Enough."})
    frames = opened.frames()

    assert {"action": "cancel", "ok": True} in frames
    assert [frame["data"]["reason"] for frame in frames if frame.get("type") == "run_cancelled"] == [
        "Enough."
    ]
    assert opened.connection.close_code == 1000


def test_pauses_and_resumes_a_run(socket, alice, start):
    opened = socket(start("slow-10-100"), bearer(alice))
    answers = [opened.answer({"action": action}) for action in ("pause", "resume")]
    told = [frame["type"] for frame in opened.frames() if "type" in frame]

    assert answers == [{"action": "pause", "ok": True}, {"action": "resume", "ok": True}]
    assert told[-1] == "run_completed"


def test_starts_a_run(socket, alice, waiting):
    answer = socket(waiting, bearer(alice)).answer({"action": "start"})

    assert (answer, Run.objects.get().status == Status.CREATED) == ({"action": "start", "ok": True}, False)


@pytest.fixture
def resting(workspace, alice):
    """A run of alice's that has used up its budget."""
    return RunFactory(
        workspace=workspace, user=alice, status=Status.PAUSED, limits={"max_tokens": 5}, input_tokens=5
    )


def test_resumes_a_run_with_a_higher_limit(socket, alice, resting):
    opened = socket(resting, bearer(alice))
    opened.answer({"action": "resume", "limits": {"max_tokens": 500}})

    assert Run.objects.get().limits == {"max_tokens": 500}


def test_says_which_limit_is_used_up(socket, alice, resting):
    error = socket(resting, bearer(alice)).answer({"action": "resume"})["error"]

    assert (error["type"], error["details"]["limit"]) == ("Conflict", "max_tokens")


def test_retries_with_a_new_run(socket, alice, agent, workspace, monkeypatch):
    """It has ended just now, and its last event is still on its way."""
    monkeypatch.setattr(follow, "_has_ended", lambda *_: False)
    run = RunFactory(workspace=workspace, user=alice, agent=agent)
    answer = socket(run, bearer(alice)).answer({"action": "retry"})

    assert Run.objects.get(pk=answer["run_id"]).parent_id == run.pk


# approvals


@pytest.fixture
def asking(workspace, alice, agent):
    """A run of alice's that waits for a person."""
    pins = prepare(workspace.pk, agent.name).pins
    return RunFactory(workspace=workspace, user=alice, agent=agent, pins=pins, status=Status.WAITING)


@pytest.fixture
def approval(asking):
    return ApprovalFactory(run=asking)


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ({"action": "approve"}, "approved"),
        ({"action": "reject"}, "rejected"),
        ({"action": "reject", "reason": "Too much."}, "rejected"),
        ({"action": "edit", "arguments": {"expression": "1 + 1"}}, "edited"),
    ],
)
def test_decides(socket, alice, asking, approval, command, status):
    opened = socket(asking, bearer(alice))
    answer = opened.answer(command | {"approval_id": str(approval.pk)})

    assert answer == {
        "action": command["action"],
        "ok": True,
        "approval_id": str(approval.pk),
        "status": status,
    }


def test_tells_everybody_what_was_decided(socket, alice, vera, asking, approval):
    watching, deciding = socket(asking, bearer(vera)), socket(asking, bearer(alice))
    deciding.answer({"action": "reject", "approval_id": str(approval.pk), "reason": "Too much."})

    assert watching.receive()["data"]["reason"] == "Too much."


def test_decides_for_a_run_below_it(socket, alice, asking, approval, workspace):
    above = RunFactory(workspace=workspace, user=alice, status=Status.WAITING)
    Run.objects.filter(pk=asking.pk).update(parent=above, relation=Relation.CHILD)
    answer = socket(above, bearer(alice)).answer({"action": "approve", "approval_id": str(approval.pk)})

    assert answer["ok"]


def test_decides_for_no_other_run(socket, alice, workspace, approval):
    other = RunFactory(workspace=workspace, user=alice, status=Status.WAITING)
    answer = socket(other, bearer(alice)).answer({"action": "approve", "approval_id": str(approval.pk)})

    assert answer["error"]["type"] == "ApprovalNotFound"


def test_refuses_arguments_that_the_tool_does_not_take(socket, alice, asking, approval):
    command = {"action": "edit", "approval_id": str(approval.pk), "arguments": {"sum": 1}}
    error = socket(asking, bearer(alice)).answer(command)["error"]

    assert (error["type"], error["details"][0]["field"]) == ("ValidationError", "arguments")


def test_lets_a_viewer_decide_nothing(socket, vera, asking, approval):
    answer = socket(asking, bearer(vera)).answer({"action": "approve", "approval_id": str(approval.pk)})

    assert answer["error"]["type"] == "PermissionDenied"


def test_says_that_a_run_can_be_cancelled_no_more(socket, alice, waiting, monkeypatch):
    """It has ended just now, and its last event is still on its way."""
    monkeypatch.setattr(follow, "_has_ended", lambda *_: False)
    Run.objects.update(status=Status.FAILED)
    opened = socket(waiting, bearer(alice))

    assert opened.answer({"action": "cancel"})["error"]["type"] == "Conflict"


def test_takes_no_command_from_whoever_may_only_read(socket, vera, waiting):
    answer = socket(waiting, bearer(vera)).answer({"action": "cancel"})

    assert (answer["ok"], answer["error"]["type"]) == (False, "PermissionDenied")


def test_takes_no_command_by_a_key_without_its_scope(socket, alice, workspace, waiting):
    key = ApiKeyFactory(workspace=workspace, user=alice, scopes=["read:run"])
    answer = socket(waiting, {"X-API-Key": key.text}).answer({"action": "cancel"})

    assert answer["error"]["type"] == "PermissionDenied"


def test_keeps_of_a_reason_what_can_be_stored(socket, alice, waiting):
    opened = socket(waiting, bearer(alice))
    opened.send({"action": "cancel", "reason": "a\0b"})

    assert [f["data"]["reason"] for f in opened.frames() if f.get("type") == "run_cancelled"] == ["a\ufffdb"]


def test_answers_a_ping(socket, alice, waiting):
    assert socket(waiting, bearer(alice)).answer({"action": "ping"}) == {"action": "ping", "ok": True}


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "null",
        "[]",
        "7",
        '"cancel"',
        "{}",
        '{"action": null}',
        '{"action": ["cancel"]}',
        '{"action": "explode"}',
        '{"action": "cancel", "reason": 7}',
        '{"action": "resume", "limits": 7}',
        '{"action": "resume", "limits": {"max_tokens": 0}}',
        '{"action": "approve"}',
        '{"action": "approve", "approval_id": "nonsense"}',
        '{"action": "approve", "approval_id": ["nonsense"]}',
        '{"action": "edit", "approval_id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e"}',
        '{"action": "edit", "approval_id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e", "arguments": []}',
        '{"action": "\\u0000"}',
        '{"action": "cancel", "reason": "' + "x" * 501 + '"}',
        "[" * 100_000,
        b'{"action": "cancel"}',
        b"\xff\xfe",
    ],
    ids=lambda frame: frame[:40],
)
def test_answers_a_frame_that_it_does_not_understand(socket, alice, waiting, frame):
    opened = socket(waiting, bearer(alice))
    refused = opened.answer(frame)

    assert (refused["ok"], refused["error"]["type"]) == (False, "ValidationError")
    assert opened.answer({"action": "ping"})["ok"]
    assert Run.objects.get().status == Status.CREATED


# the end of the right to it


@pytest.fixture
def open_of(socket, alice, waiting, monkeypatch):
    """`open_of(headers)`: a socket on a run that goes on, which asks often whether it may."""
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.1)

    def open_socket(headers):
        opened = socket(waiting, headers)
        opened.receive()
        return opened

    return open_socket


def test_stays_open_while_the_credential_is_good(open_of, alice):
    opened = open_of(bearer(alice))
    time.sleep(0.5)

    assert opened.answer({"action": "ping"})["ok"]


def test_ends_with_the_token(open_of, alice):
    token = AccessToken.for_user(alice)
    token.set_exp(lifetime=timedelta(seconds=2))

    assert open_of({"Authorization": f"Bearer {token}"}).closed() == 4401


def test_ends_with_the_key(open_of, alice, workspace):
    opened = open_of({"X-API-Key": ApiKeyFactory(workspace=workspace, user=alice).text})
    ApiKey.objects.update(revoked_at=timezone.now())

    assert opened.closed() == 4401


def test_ends_with_the_password(open_of, alice, http):
    opened = open_of(bearer(alice))
    http(alice).post(
        "/auth/password", json={"current_password": PASSWORD, "new_password": f"{PASSWORD} again"}
    )

    assert opened.closed() == 4401


def test_ends_with_the_membership(open_of, alice):
    opened = open_of(bearer(alice))
    Membership.objects.filter(user=alice).delete()

    assert opened.closed() == 4401


def test_ends_with_the_role(open_of, alice):
    opened = open_of(bearer(alice))
    Membership.objects.filter(user=alice).update(role=Role.AUDITOR)

    assert opened.closed() == 4403


def test_ends_with_the_session_of_the_page(open_of, alice, server):
    client = Client()
    client.force_login(alice)
    opened = open_of({"Cookie": f"sessionid={client.cookies['sessionid'].value}", "Origin": server})
    client.logout()

    assert opened.closed() == 4401


# while the database is away


def away(*_):
    raise OperationalError("server closed the connection unexpectedly")


def test_tells_who_connects_to_come_back(socket, alice, waiting, monkeypatch):
    monkeypatch.setattr(consumers, "_authenticate", away)

    assert socket(waiting, bearer(alice)).closed() == 1012


def test_refuses_a_command_and_stays_open(socket, alice, waiting, monkeypatch):
    opened = socket(waiting, bearer(alice))
    opened.receive()
    monkeypatch.setattr(consumers, "obey", away)

    assert opened.answer({"action": "start"})["error"]["type"] == "ServiceUnavailable"


def test_still_ends_with_the_right_to_it(open_of, alice, monkeypatch):
    asked, still_permitted = [], consumers._still_permitted

    def away_at_first(*args):
        asked.append(args)
        return away() if len(asked) == 1 else still_permitted(*args)

    monkeypatch.setattr(consumers, "_still_permitted", away_at_first)
    opened = open_of(bearer(alice))
    Membership.objects.filter(user=alice).delete()

    assert (opened.closed(), len(asked) > 1) == (4401, True)
