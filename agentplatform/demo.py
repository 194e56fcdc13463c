"""The demo workspace: a user for each role, a model, tools and agents to try the platform with.

It is made once. After that it belongs to those who use it: nothing of it is made again or set back. Only its
agents and workflows follow the environment, as long as nobody has edited them: with OPENAI_API_KEY set they use that
endpoint, without it the scripted model.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import transaction

from accounts.models import Membership, User, Workspace
from accounts.roles import Role
from agentplatform.lib.files import write_private
from agents.examples import handbook
from agents.examples import workflows as example_workflows
from agents.examples.trade import assistant as trade
from agents.models import Agent, ChatModel, Configuration, Tool, Version
from agents.tools.functions import registry
from agents.versions import record

WORKSPACE = "demo"
SCRIPTED_MODEL = "demo"
ENDPOINT_MODEL = "openai"
# Nobody guesses 96 random bits however fast they are hashed, and five slow hashes would double the time of
# the first start. Django hashes a password anew, with its own number of iterations, when its user signs in.
FEW_ITERATIONS = 1_000
STAFF = {Role.ADMIN, Role.OPERATOR, Role.VIEWER, Role.AUDITOR}


@dataclass(frozen=True)
class Credential:
    """How one demo user signs in; what `demo-credentials.json` is a list of."""

    username: str
    password: str
    role: str
    workspace: str = WORKSPACE


@dataclass(frozen=True)
class DemoTool:
    """A function of the installation, or another demo agent that is asked."""

    name: str
    function: str = ""
    agent: str = ""
    requires_approval: bool = False


@dataclass(frozen=True)
class DemoAgent:
    name: str
    description: str
    system_prompt: str
    tools: tuple[str, ...] = ()
    knowledge: tuple[str, ...] = ()
    is_default: bool = False


TOOLS = (
    *(DemoTool(name, function=name) for name in ("calculator", "current_time", "json_query", "unit_convert")),
    DemoTool("approved_calculator", function="calculator", requires_approval=True),
    DemoTool("ask_mathematician", agent="mathematician"),
    *(DemoTool(name, function=name) for name in (*trade.TOOLS, *example_workflows.TOOLS)),
)
AGENTS = (
    DemoAgent(
        "assistant",
        "Answers questions, and calculates, tells the time and reads JSON where that helps.",
        "You are a helpful assistant. Answer briefly, and use your tools instead of guessing.",
        ("calculator", "current_time", "json_query", "unit_convert"),
        is_default=True,
    ),
    DemoAgent(
        "mathematician",
        "Works out arithmetic, one step at a time.",
        "You solve arithmetic problems. Work every calculation out with the calculator, and show the steps.",
        ("calculator",),
    ),
    DemoAgent(
        "writer", "Writes short texts, without tools.", "You write clear, short texts in the user's language."
    ),
    DemoAgent(
        "accountant",
        "Calculates as well, but each calculation waits until a person has approved it.",
        "You calculate amounts of money. Work every calculation out with the calculator.",
        ("approved_calculator",),
    ),
    DemoAgent(
        "coordinator",
        "Hands arithmetic over to the mathematician, as a run of its own.",
        "You coordinate. Hand every calculation over to the mathematician, and answer with what comes back.",
        ("ask_mathematician",),
    ),
    DemoAgent(trade.NAME, trade.DESCRIPTION, trade.SYSTEM_PROMPT, trade.TOOLS),
    DemoAgent(handbook.NAME, handbook.DESCRIPTION, handbook.SYSTEM_PROMPT, knowledge=(handbook.BASE,)),
)


def credentials_file() -> Path:
    return Path(settings.DATA_DIR) / "demo-credentials.json"


def create_demo() -> list[Credential]:
    """Make the demo workspace unless it exists; the credentials of its new users, or none."""
    with transaction.atomic():
        workspace, is_new = Workspace.objects.get_or_create(slug=WORKSPACE, defaults={"name": "Demo"})
        credentials = _create_users(workspace) if is_new else []
        if is_new:
            _create_configuration(workspace)
        _follow_environment(workspace)
    return credentials


def _create_users(workspace: Workspace) -> list[Credential]:
    credentials = [_credential(role) for role in Role]
    users = [_user(credential) for credential in credentials]
    User.objects.bulk_create(users)
    Membership.objects.bulk_create(
        Membership(workspace=workspace, user=user, role=credential.role)
        for user, credential in zip(users, credentials, strict=True)
    )
    text = json.dumps([asdict(credential) for credential in credentials], indent=2)
    write_private(credentials_file(), text + "\n")
    return credentials


def _credential(role: Role) -> Credential:
    """The role is the name too, unless somebody has it already."""
    is_taken = User.objects.filter(username=role.value).exists()
    return Credential(f"demo-{role.value}" if is_taken else role.value, secrets.token_urlsafe(12), role.value)


def _user(credential: Credential) -> User:
    hasher = PBKDF2PasswordHasher()
    return User(
        username=credential.username,
        password=hasher.encode(credential.password, hasher.salt(), FEW_ITERATIONS),
        is_staff=credential.role in STAFF,
        is_superuser=credential.role == Role.ADMIN,
    )


def _create_configuration(workspace: Workspace) -> None:
    model = ChatModel.objects.create(
        workspace=workspace,
        name=SCRIPTED_MODEL,
        description="Scripted: needs no key, costs nothing, and really calls tools.",
        provider="demo",
        model="scripted",
    )
    _record([model])
    handbook.create(workspace)
    agents = {wanted.name: _create_agent(wanted, workspace, model) for wanted in AGENTS}
    tools = {wanted.name: _create_tool(wanted, workspace, agents) for wanted in TOOLS}
    _record(tools.values())
    for wanted in AGENTS:
        agents[wanted.name].tools.set([tools[name] for name in wanted.tools])
    _record(agents.values())
    example_workflows.create(workspace, model.name)


def _create_tool(wanted: DemoTool, workspace: Workspace, agents: Mapping[str, Agent]) -> Tool:
    agent = agents.get(wanted.agent)
    return Tool.objects.create(
        workspace=workspace,
        name=wanted.name,
        description=agent.description if agent else registry[wanted.function].description,
        tool_kind=Tool.ToolKind.AGENT if agent else Tool.ToolKind.FUNCTION,
        function=wanted.function,
        agent=agent,
        idempotent=agent is None and registry[wanted.function].idempotent,
        requires_approval=wanted.requires_approval,
    )


def _create_agent(wanted: DemoAgent, workspace: Workspace, model: ChatModel) -> Agent:
    return Agent.objects.create(
        workspace=workspace,
        model=model,
        name=wanted.name,
        description=wanted.description,
        system_prompt=wanted.system_prompt,
        knowledge=list(wanted.knowledge),
        is_default=wanted.is_default,
        tags=["demo"],
    )


def _record(instances: Iterable[Configuration]) -> None:
    for instance in instances:
        record(instance, None, "created")


def _follow_environment(workspace: Workspace) -> None:
    """Give the demo agents and workflows that nobody has edited the model that the environment asks for."""
    wanted = _endpoint_model(workspace) if settings.OPENAI_API_KEY else _model(workspace, SCRIPTED_MODEL)
    others = {SCRIPTED_MODEL, ENDPOINT_MODEL}
    names = [agent.name for agent in AGENTS]
    agents = Agent.objects.filter(workspace=workspace, name__in=names, model__name__in=others).exclude(
        model=wanted
    )
    for agent in agents:
        if wanted and not _was_edited(agent):
            agent.model = wanted
            agent.save(update_fields=["model", "updated_at"])
            record(agent, None, "updated")
    if wanted:
        example_workflows.use_model(workspace, wanted.name)


def _endpoint_model(workspace: Workspace) -> ChatModel:
    """The model at OPENAI_BASE_URL; its key stays in the environment."""
    if model := _model(workspace, ENDPOINT_MODEL):
        return model
    model = ChatModel.objects.create(
        workspace=workspace,
        name=ENDPOINT_MODEL,
        description="The endpoint of OPENAI_BASE_URL, with the key of OPENAI_API_KEY.",
        provider="openai",
        model=settings.OPENAI_MODEL,
    )
    _record([model])
    return model


def _model(workspace: Workspace, name: str) -> ChatModel | None:
    return ChatModel.objects.filter(workspace=workspace, name=name).first()


def _was_edited(agent: Agent) -> bool:
    return Version.objects.filter(object_id=agent.pk, author_id__isnull=False).exists()
