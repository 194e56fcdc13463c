"""The demo workspace: made once, then its users' own."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher, check_password
from django.core.management import call_command

from accounts.actor import Actor
from accounts.models import Membership, User
from accounts.roles import Role
from agentplatform.demo import create_demo, credentials_file
from agents.examples import workflows as examples
from agents.models import Agent, Tool, Version, Workflow
from agents.versions import record
from agents.workflows.drafts import export, save

pytestmark = pytest.mark.django_db
NAMES = [
    "accountant",
    "assistant",
    "coordinator",
    "handbook-assistant",
    "mathematician",
    "trade-assistant",
    "writer",
]


@pytest.fixture(autouse=True)
def data_dir(settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    settings.OPENAI_API_KEY = ""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    return tmp_path


def models_of_agents() -> dict[str, str]:
    return dict(Agent.objects.order_by("name").values_list("name", "model__name"))


def test_makes_a_user_for_each_role() -> None:
    create_demo()
    roles = Membership.objects.filter(workspace__slug="demo").values_list("user__username", "role")
    assert set(roles) == {(role.value, role.value) for role in Role}


def test_gives_each_user_the_password_that_it_says() -> None:
    credentials = create_demo()
    hashes = dict(User.objects.values_list("username", "password"))
    assert all(check_password(one.password, hashes[one.username]) for one in credentials)


def test_hashes_a_password_with_full_strength_once_it_was_used() -> None:
    credential = create_demo()[0]
    User.objects.get(username=credential.username).check_password(credential.password)
    kept = User.objects.get(username=credential.username).password
    assert f"${PBKDF2PasswordHasher.iterations}$" in kept


def test_makes_only_the_admin_a_superuser() -> None:
    create_demo()
    assert list(User.objects.filter(is_superuser=True).values_list("username", flat=True)) == ["admin"]


def test_keeps_users_out_of_the_admin() -> None:
    create_demo()
    assert list(User.objects.filter(is_staff=False).values_list("username", flat=True)) == ["user"]


def test_keeps_the_credentials_as_a_list() -> None:
    create_demo()
    kept = json.loads(credentials_file().read_text())
    assert [sorted(one) for one in kept] == [["password", "role", "username", "workspace"]] * 5


def test_keeps_the_credentials_from_others() -> None:
    create_demo()
    assert stat.S_IMODE(credentials_file().stat().st_mode) == 0o600


def test_makes_the_data_folder_where_it_is_missing(settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "var"
    create_demo()
    assert stat.S_IMODE(settings.DATA_DIR.stat().st_mode) == 0o700
    assert credentials_file().exists()


def test_leaves_the_permissions_of_a_data_folder_alone(data_dir: Path) -> None:
    data_dir.chmod(0o755)
    create_demo()
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o755


def test_shows_passwords_once(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_demo")
    password = json.loads(credentials_file().read_text())[0]["password"]
    first = capsys.readouterr().out
    call_command("create_demo")
    assert (password in first, password in capsys.readouterr().out) == (True, False)


def test_says_where_the_credentials_are_the_second_time(capsys: pytest.CaptureFixture[str]) -> None:
    create_demo()
    call_command("create_demo")
    assert str(credentials_file()) in capsys.readouterr().out


def test_leaves_a_user_alone_who_has_the_name_already() -> None:
    User.objects.create(username="admin", password="her own")
    create_demo()
    assert User.objects.get(username="admin").password == "her own"


def test_makes_agents_that_can_run_at_once() -> None:
    create_demo()
    assert sorted(Agent.objects.filter(version__isnull=False).values_list("name", flat=True)) == NAMES


def test_makes_one_default_agent() -> None:
    create_demo()
    assert Agent.objects.get(is_default=True).name == "assistant"


def test_makes_an_agent_that_asks_another() -> None:
    create_demo()
    [tool] = Agent.objects.get(name="coordinator").tools.all()
    assert (tool.tool_kind, tool.agent) == ("agent", Agent.objects.get(name="mathematician"))


def test_makes_an_agent_whose_calls_wait_for_a_person() -> None:
    create_demo()
    [tool] = Agent.objects.get(name="accountant").tools.all()
    assert tool.requires_approval


def test_makes_the_trade_assistant_with_its_tools() -> None:
    create_demo()
    tools = Agent.objects.get(name="trade-assistant").tools.order_by("name")
    assert [tool.function for tool in tools] == ["company_background", "find_suppliers", "trade_figures"]


def test_publishes_the_example_workflows() -> None:
    create_demo()
    published = Workflow.objects.filter(published__number=1).values_list("name", flat=True)
    assert sorted(published) == sorted(examples.NAMES)


def test_lets_nothing_be_called_twice_that_has_an_effect() -> None:
    create_demo()
    unsafe = Tool.objects.filter(idempotent=False, tool_kind="function").values_list("name", flat=True)
    assert list(unsafe) == ["refund_order"]


def test_keeps_the_comments_of_the_example_workflows() -> None:
    create_demo()
    workflow = Workflow.objects.get(name="support-triage")
    assert export(workflow) == examples.source("support-triage")


def test_publishes_example_workflows_on_the_endpoint_when_a_key_is_set_later(settings) -> None:
    create_demo()
    settings.OPENAI_API_KEY = "sk-only-in-tests"
    create_demo()
    workflow = Workflow.objects.get(name="research-loop")
    assert workflow.published
    assert {"model:openai", "model:demo"} & set(workflow.references) == {"model:openai"}


def test_never_changes_a_workflow_that_was_edited(settings, actor: Callable[[User], Actor]) -> None:
    create_demo()
    workflow = Workflow.objects.get(name="research-loop")
    save(workflow, actor(User.objects.get(username="operator")), {"description": "What olivia likes."})
    settings.OPENAI_API_KEY = "sk-only-in-tests"
    create_demo()
    assert "model:openai" not in Workflow.objects.get(name="research-loop").references


def test_changes_nothing_the_second_time() -> None:
    create_demo()
    before = (Version.objects.count(), credentials_file().read_text())
    assert create_demo() == []
    assert (Version.objects.count(), credentials_file().read_text()) == before


def test_makes_nothing_again_that_was_deleted() -> None:
    create_demo()
    Agent.objects.get(name="writer").delete()
    create_demo()
    assert not Agent.objects.filter(name="writer").exists()


def test_uses_the_scripted_model_without_a_key() -> None:
    create_demo()
    assert set(models_of_agents().values()) == {"demo"}


def test_uses_the_endpoint_of_the_environment_with_a_key(settings) -> None:
    settings.OPENAI_API_KEY = "sk-only-in-tests"
    create_demo()
    assert set(models_of_agents().values()) == {"openai"}


def test_follows_the_environment_when_a_key_is_set_later(settings) -> None:
    create_demo()
    settings.OPENAI_API_KEY = "sk-only-in-tests"
    create_demo()
    assert Agent.objects.get(name="writer").version.data["model"] == "openai"


def test_never_changes_an_agent_that_was_edited(settings, actor: Callable[[User], Actor]) -> None:
    create_demo()
    agent = Agent.objects.get(name="writer")
    agent.description = "Writes what olivia likes."
    agent.save()
    record(agent, actor(User.objects.get(username="operator")), "updated")
    settings.OPENAI_API_KEY = "sk-only-in-tests"
    create_demo()
    assert models_of_agents()["writer"] == "demo"
