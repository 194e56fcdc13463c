"""A person's data: exported whole, erased whole, and nobody else's touched."""

from __future__ import annotations

import json
from base64 import b64decode
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db.models import Sum
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.models import Membership, SavedFilter, User
from accounts.pseudonyms import pseudonym
from accounts.roles import Role
from agents.versions import record
from billing.models import UsageRecord
from runs.conversations import attachments
from runs.models import Approval, Attachment, Message, Run, RunEvent, Session
from runs.subjects import erase as erasing
from runs.subjects.content import Subject
from runs.subjects.export import SIZES, lines
from tests.factories import (
    AgentFactory,
    ApiKeyFactory,
    ApprovalFactory,
    AttachmentFactory,
    CheckpointFactory,
    DocumentFactory,
    MembershipFactory,
    MemoryFactory,
    MessageFactory,
    RunEventFactory,
    RunFactory,
    RunStepFactory,
    ScheduleFactory,
    SessionFactory,
    ToolCallFactory,
    UsageRecordFactory,
    UserFactory,
    WebhookDeliveryFactory,
    WebhookFactory,
)
from tests.platform.stored import rows_by_table

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("one_thread")]

MARKER = "MARKER-OF-DORA"
OTHERS = "MARKER-OF-BOB"


def life_of(user: User, workspace, agent, marker: str) -> dict[str, Any]:
    """Something of every kind that there can be of a user."""
    session = SessionFactory(workspace=workspace, user=user, agent=agent, title=marker, end_user=marker)
    made = {"workspace": workspace, "user": user, "agent": agent, "username": user.username}
    run = RunFactory(
        session=session,
        status="completed",
        input={"messages": [{"role": "user", "content": marker}]},
        input_query=marker,
        response_content=marker,
        metadata={"note": marker},
        end_user=marker,
        **made,
    )
    MessageFactory(session=session, run=run, content=marker)
    RunStepFactory(run=run, model_response=marker)
    RunEventFactory(run=run, data={"content": marker})
    ApprovalFactory(run=run, arguments={"text": marker}, reason=marker)
    ToolCallFactory(run=run, message={"content": marker})
    CheckpointFactory(
        run=run, messages=[{"role": "user", "content": marker}], description=marker, metadata={"note": marker}
    )
    AttachmentFactory(session=session, user=user, name=marker, file=ContentFile(marker.encode(), marker))
    DocumentFactory(
        knowledge_base__workspace=workspace,
        payer={"user_id": str(user.pk), "user": user.username, "api_key": marker},
    )
    MemoryFactory(workspace=workspace, user=user, value={"content": marker}, end_user=marker)
    ScheduleFactory(
        workspace=workspace,
        user=user,
        agent=agent,
        name=f"of-{user.username}",
        session=session,
        input={"messages": [{"role": "user", "content": marker}]},
    )
    ApiKeyFactory(workspace=workspace, user=user, name=marker)
    WebhookDeliveryFactory(
        webhook=WebhookFactory(workspace=workspace, name=f"about-{user.pk.hex}"),
        run_id=run.pk,
        payload={"data": {"response": marker}},
    )
    UsageRecordFactory(
        workspace=workspace,
        run_id=run.pk,
        user_id=user.pk,
        user=user.username,
        end_user=marker,
        api_key=marker,
        cost=Decimal("0.25"),
    )
    return {"session": session, "run": run}


@pytest.fixture(autouse=True)
def files(settings, tmp_path) -> Path:
    """The folder that attachments are kept in."""
    options = {**settings.STORAGES["default"]["OPTIONS"], "location": str(tmp_path)}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}
    return tmp_path


@pytest.fixture
def agent(workspace):
    return AgentFactory(workspace=workspace, name="helper")


@pytest.fixture
def dora(workspace, alice) -> User:
    user = UserFactory(username="dora", email="dora@people.example", first_name="Dora", last_name="Doe")
    return MembershipFactory(workspace=workspace, user=user, role=Role.USER).user


@pytest.fixture
def her(dora, workspace, agent) -> dict[str, Any]:
    """What there is of dora."""
    return life_of(dora, workspace, agent, MARKER)


@pytest.fixture
def his(bob, workspace, agent) -> dict[str, Any]:
    """What there is of bob, who stays."""
    return life_of(bob, workspace, agent, OTHERS)


@pytest.fixture
def decision(his, dora) -> Approval:
    """What dora has decided in bob's run."""
    approval = ApprovalFactory(
        run=his["run"],
        key="second",
        status="rejected",
        decided_by="dora",
        decided_by_id=dora.pk,
        reason=MARKER,
    )
    RunEventFactory(
        run=his["run"],
        seq=77,
        type="approval_resolved",
        data={"approval_id": str(approval.pk), "decided_by": "dora", "reason": MARKER},
    )
    return approval


def found(*texts: str) -> dict[str, list[str]]:
    """The tables that have one of these texts in any column."""
    hexed = [text.encode().hex() for text in texts]
    return {
        table: hits
        for table, rows in rows_by_table().items()
        if (hits := [row[:200] for row in rows if any(text in row for text in [*texts, *hexed])])
    }


def erase(username: str = "dora", **options: Any) -> None:
    call_command("erase_user", username, "--yes", **options)


# erased


def test_leaves_nothing_of_a_person(her, decision):
    record(her["run"].agent, None, "updated")

    erase()

    assert found("dora", "Dora", MARKER) == {}


def test_has_the_files_of_a_person_deleted(her, his):
    own = Attachment.objects.get(session=her["session"]).stored

    erase()

    [job] = ProcrastinateJob.objects.filter(task_name=attachments.DELETE_FILES)
    assert job.args == {"names": [own]}


def test_erases_files_in_somebody_elses_conversation(his, dora):
    AttachmentFactory(session=his["session"], user=dora, name=MARKER)

    erase()

    assert found(MARKER) == {}


def test_leaves_others_as_they_were(her, his, bob):
    def all_of_bob() -> dict[str, list[str]]:
        return {table: sorted(rows) for table, rows in found(OTHERS, str(bob.pk)).items()}

    before = all_of_bob()

    erase()

    assert all_of_bob() == before


def test_keeps_the_sums_of_the_ledger(her, his, dora):
    sums = {"cost": Sum("cost"), "tokens": Sum("input_tokens"), "requests": Sum("requests")}

    def by_user() -> list[dict[str, Any]]:
        return list(UsageRecord.objects.order_by("user_id").values("user_id").annotate(**sums))

    before = by_user()

    erase()

    assert by_user() == before
    assert str(UsageRecord.objects.get(user_id=dora.pk).user_name) == pseudonym(dora.pk)


def test_keeps_what_a_person_has_decided_for_others(her, decision, dora):
    erase()

    decision.refresh_from_db()
    told = RunEvent.objects.get(seq=77, run_id=decision.run_id)
    assert (decision.status, decision.decided_by, decision.reason) == ("rejected", pseudonym(dora.pk), "")
    assert (told.data["decided_by"], told.data["reason"]) == (pseudonym(dora.pk), "")


def test_keeps_the_configurations_that_a_person_has_written(api, workspace, alice, dora, agent):
    Membership.objects.filter(user=dora).update(role=Role.OPERATOR)
    api(dora).patch("/agents/helper", {"description": "Helps."})

    erase()

    assert [item["author"] for item in api(alice).get("/agents/helper/versions").json()["items"]] == [
        pseudonym(dora.pk),
        "",
    ]


def test_erases_copies_that_others_have_made(her, alice, workspace, agent):
    RunFactory(
        workspace=workspace, user=alice, agent=agent, parent=her["run"], relation="fork", input_query=MARKER
    )

    erase()

    assert not Run.objects.filter(input_query=MARKER).exists()


def test_takes_a_person_out_of_somebody_elses_conversation(her, his, dora, workspace, agent):
    run = RunFactory(
        workspace=workspace,
        user=dora,
        agent=agent,
        session=his["session"],
        status="completed",
        input_query=MARKER,
    )
    MessageFactory(session=his["session"], run=run, content=MARKER)
    CheckpointFactory(run=run, messages=[{"role": "user", "content": MARKER}])

    erase()

    assert found(MARKER) == {}
    assert [message.content for message in Message.objects.filter(session=his["session"])] == [OTHERS]


def test_cancels_what_is_under_way_and_settles_it(her, dora, workspace, agent, monkeypatch):
    monkeypatch.setattr(erasing, "PATIENCE_SECONDS", 0.0)
    run = RunFactory(
        workspace=workspace,
        user=dora,
        agent=agent,
        status="running",
        attempt=1,
        session=None,
        response_content="",
    )
    UsageRecordFactory(
        workspace=workspace, run_id=run.pk, user_id=dora.pk, user="dora", entry="opened", status="pending"
    )

    erase()

    assert sorted(UsageRecord.objects.filter(run_id=run.pk).values_list("entry", "status")) == [
        ("opened", "pending"),
        ("settled", "unknown"),
    ]
    assert found("dora", MARKER) == {}


@pytest.mark.parametrize("step", ["_cancel", "_erase_sessions", "_blank_decisions", "erase_from_billing"])
def test_goes_on_after_it_was_killed(her, decision, monkeypatch, step):
    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(erasing, step, die)
        with pytest.raises(Killed):
            erase()
    assert User.objects.filter(username="dora").exists()

    erase()

    assert found("dora", "Dora", MARKER) == {}


def test_takes_any_number_of_runs_in_batches(her, dora, workspace, agent, monkeypatch):
    monkeypatch.setattr(erasing, "BATCH", 2)
    for _ in range(5):
        RunFactory(workspace=workspace, user=dora, agent=agent, status="completed", input_query=MARKER)

    erase()

    assert found(MARKER) == {}


# by the command


def test_says_what_it_has_erased(her, capsys):
    erase()

    assert "1 accounts" in capsys.readouterr().out


def test_has_nothing_to_do_for_who_is_gone(her, capsys):
    erase()
    erase()

    assert "There is no user 'dora'" in capsys.readouterr().out


def test_asks_before_it_begins(her, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _: "bob")

    with pytest.raises(CommandError, match="Nothing was erased"):
        call_command("erase_user", "dora")
    assert found(MARKER)


def test_erases_from_one_workspace_only(her, dora, other_workspace, charlie, capsys):
    MembershipFactory(workspace=other_workspace, user=dora, role=Role.USER)
    elsewhere = life_of(dora, other_workspace, AgentFactory(workspace=other_workspace), "ELSEWHERE")

    erase(workspace="acme")

    assert found(MARKER) == {}
    assert Session.objects.filter(pk=elsewhere["session"].pk).exists()
    assert User.objects.filter(username="dora").exists()
    assert [str(one.user_name) for one in UsageRecord.objects.order_by("id")] == [pseudonym(dora.pk), "dora"]


def test_keeps_the_last_admin(alice):
    with pytest.raises(CommandError, match="'alice' is the last admin"):
        erase("alice")
    assert Membership.objects.filter(user=alice).exists()


# over the API


def path(user: str = "dora", verb: str = "erase", workspace: str = "acme") -> str:
    return f"/workspaces/{workspace}/members/{user}/{verb}"


def test_lets_admins_erase_a_member(api, alice, her, dora):
    answer = api(alice).post(path(), {"confirm": "dora"})

    erased = answer.json()["erased"]
    assert (answer.status_code, erased["runs"], erased["sessions"], erased["accounts"]) == (200, 1, 1, 1)
    assert found("dora", MARKER) == {}


def test_knows_nobody_the_second_time(api, alice, her):
    api(alice).post(path(), {"confirm": "dora"})

    assert api(alice).post(path(), {"confirm": "dora"}).status_code == 404


@pytest.mark.parametrize("body", [{}, {"confirm": "bob"}, {"confirm": ""}])
def test_erases_nobody_without_their_name(api, alice, her, body):
    answer = api(alice).post(path(), body)

    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "confirm")
    assert found(MARKER)


@pytest.mark.parametrize("who", ["olivia", "bob", "vera", "audrey", "dora"])
def test_is_for_admins(request, api, her, who):
    user = request.getfixturevalue(who)

    assert api(user).post(path(), {"confirm": "dora"}).status_code == 403
    assert api(user).get(path(verb="export")).status_code == 403


def test_is_closed_to_another_workspace(api, charlie, her):
    assert api(charlie).post(path(), {"confirm": "dora"}).status_code == 404
    assert api(charlie).post(path(workspace="other"), {"confirm": "dora"}).status_code == 404
    assert api(charlie).get(path(verb="export")).status_code == 404
    assert found(MARKER)


def test_lets_nobody_erase_themselves(api, alice):
    answer = api(alice).post(path("alice"), {"confirm": "alice"})

    assert (answer.status_code, answer.json()["error"]["message"]) == (
        409,
        "Nobody erases themselves. Ask another admin.",
    )


# exported


def exported(user: User, workspace) -> list[dict[str, Any]]:
    async def read() -> bytes:
        return b"".join([piece async for piece in lines(Subject(user.pk, workspace.pk))])

    return [json.loads(line) for line in async_to_sync(read)().splitlines()]


KINDS = {
    *("account", "membership", "api_key", "session", "message", "memory", "schedule", "run", "step", "event"),
    *("tool_call", "approval", "checkpoint", "usage", "attachment", "document"),
}


def test_gives_all_that_there_is(her, dora, workspace):
    assert {line["kind"] for line in exported(dora, workspace)} == KINDS


def test_gives_what_is_in_files(her, dora, workspace):
    [line] = [line for line in exported(dora, workspace) if line["kind"] == "attachment"]

    assert b64decode(line["data"]["content"]).decode() == MARKER


def test_goes_on_where_a_file_is_gone(her, dora, workspace):
    default_storage.delete(Attachment.objects.get().stored)

    [line] = [line for line in exported(dora, workspace) if line["kind"] == "attachment"]

    assert line["data"]["content"] is None


def test_gives_nothing_of_others(her, his, dora, workspace):
    assert OTHERS not in json.dumps(exported(dora, workspace))


def test_gives_nothing_of_another_workspace(her, dora, other_workspace):
    assert MARKER not in json.dumps(exported(dora, other_workspace))


def test_gives_what_was_decided_for_others(decision, dora, workspace):
    [line] = [line for line in exported(dora, workspace) if line["kind"] == "decision"]

    assert line["data"]["reason"] == MARKER


def test_gives_no_hash_and_no_password(her, dora, workspace):
    keys = {key for line in exported(dora, workspace) for key in line["data"]}

    assert not {"hash", "password"} & keys


def test_gives_any_number_of_rows(her, dora, workspace, monkeypatch):
    monkeypatch.setattr("runs.subjects.export.PAGE", 2)
    monkeypatch.setitem(SIZES, "run", 1)
    for seq in range(100, 105):
        RunEventFactory(run=her["run"], seq=seq)

    events = [line["data"]["id"] for line in exported(dora, workspace) if line["kind"] == "event"]

    assert len(events) == len(set(events)) == 6


def test_answers_a_file_to_oneself_and_to_admins(api, alice, dora, her):
    for answer in (api(dora).get("/auth/me/export"), api(alice).get(path(verb="export"))):
        assert (answer.status_code, answer["Content-Disposition"], answer["Content-Type"]) == (
            200,
            'attachment; filename="dora.jsonl"',
            "application/x-ndjson",
        )


def test_gives_and_erases_saved_filters(dora, workspace):
    SavedFilter.objects.create(
        user=dora, workspace=workspace, page="runs.run", name="Failures", query="status=failed"
    )
    assert [line["kind"] for line in exported(dora, workspace)].count("saved_filter") == 1
    erasing.erase_content(Subject(dora.pk, workspace.pk))
    assert not SavedFilter.objects.exists()
