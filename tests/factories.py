"""Objects for tests, by room. A factory's defaults make a row that is valid by itself."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import factory
import yaml
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from factory.django import DjangoModelFactory, Password

from accounts.api_keys import PREFIX, VISIBLE_CHARACTERS
from accounts.audit.models import Action, AuditEntry, Via
from accounts.models import ApiKey, Membership, User, Workspace
from accounts.roles import Role
from accounts.security import Kind, SecurityEvent
from agentplatform.lib.ids import first_uuid7_at, uuid7
from agentplatform.lib.secrets import new_token, token_hash
from agentplatform.lib.webhook_signing import new_secret
from agents.models import Agent, ChatModel, Chunk, Document, KnowledgeBase, McpServer, Tool, Workflow
from agents.snapshots import set_fallbacks
from agents.versions import record
from agents.workflows.document import references_of
from agents.workflows.publishing import publish
from billing.budgets.listing import forget as forget_budgets
from billing.exports.files import name_of
from billing.exports.options import DEFAULTS
from billing.models import Budget, Entry, Outcome, Price, Repricing, UsageExport, UsageRecord
from runs.events import EventType
from runs.models import (
    Approval,
    Attachment,
    Checkpoint,
    CheckpointBlob,
    Memory,
    Message,
    Run,
    RunEvent,
    RunStep,
    Schedule,
    Session,
    Status,
    ToolCall,
    Webhook,
    WebhookDelivery,
)

PASSWORD = "correct horse battery staple"

# accounts


class UserFactory(DjangoModelFactory):
    """A user who signs in with PASSWORD."""

    class Meta:
        model = User

    username = factory.Sequence(lambda number: f"user{number}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.com")
    password = Password(PASSWORD)


class WorkspaceFactory(DjangoModelFactory):
    class Meta:
        model = Workspace

    slug = factory.Sequence(lambda number: f"workspace-{number}")
    name = factory.LazyAttribute(lambda workspace: workspace.slug.replace("-", " ").title())


class SecurityEventFactory(DjangoModelFactory):
    """Guesses from one address within a minute."""

    class Meta:
        model = SecurityEvent

    kind = Kind.SIGN_IN_FAILED
    minute = factory.LazyFunction(lambda: timezone.now().replace(second=0, microsecond=0))
    address = "203.0.113.7"
    count = 3
    first_at = factory.LazyFunction(timezone.now)
    last_at = factory.LazyAttribute(lambda event: event.first_at)


class MembershipFactory(DjangoModelFactory):
    class Meta:
        model = Membership

    workspace = factory.SubFactory(WorkspaceFactory)
    user = factory.SubFactory(UserFactory)
    role = Role.USER


class ApiKeyFactory(DjangoModelFactory):
    """An API key; `key.text` is what a client sends. Its user must be a member of its workspace."""

    class Meta:
        model = ApiKey

    workspace = factory.SubFactory(WorkspaceFactory)
    user = factory.LazyAttribute(lambda key: MembershipFactory(workspace=key.workspace).user)
    name = factory.Sequence(lambda number: f"key {number}")

    @classmethod
    def _create(cls, model_class, *args, **kwargs):
        text = new_token(PREFIX)
        key = super()._create(
            model_class, *args, prefix=text[:VISIBLE_CHARACTERS], hash=token_hash(text), **kwargs
        )
        key.text = text
        return key


class AuditEntryFactory(DjangoModelFactory):
    """Bob's change of the agent `trade-assistant` a moment ago."""

    class Meta:
        model = AuditEntry

    workspace = factory.SubFactory(WorkspaceFactory)
    timestamp = factory.LazyFunction(timezone.now)
    action = Action.UPDATED
    resource_type = "Agent"
    resource_id = factory.LazyFunction(uuid7)
    resource_name = "trade-assistant"
    user_id = factory.LazyFunction(uuid7)
    user = "bob"
    via = Via.API
    address = "203.0.113.7"
    method = "PATCH"
    path = "/api/v1/agents/{pk}"
    before = {"system_prompt": "Be brief."}
    after = {"system_prompt": "Be kind."}

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **values: Any) -> Any:
        """Read back, because triggers take the names out of it."""
        made = super()._create(model_class, *args, **values)
        return model_class.objects.get(pk=made.pk)


# agents


class ConfigurationFactory(DjangoModelFactory):
    """A configuration with its relations set and its first version recorded."""

    class Meta:
        abstract = True

    workspace = factory.SubFactory(WorkspaceFactory)

    @classmethod
    def _create(cls, model_class, *args, tools=(), fallbacks=(), **kwargs):
        instance = super()._create(model_class, *args, **kwargs)
        if tools:
            instance.tools.set(tools)
        if fallbacks:
            set_fallbacks(instance, fallbacks)
        record(instance, None, "created")
        return instance


class ChatModelFactory(ConfigurationFactory):
    """A scripted model that answers at once."""

    class Meta:
        model = ChatModel

    name = factory.Sequence(lambda number: f"model-{number}")
    provider = "demo"
    model = "scripted"
    parameters = factory.LazyAttribute(lambda model: {"delay_ms": 0} if model.provider == "demo" else {})


class ToolFactory(ConfigurationFactory):
    """The calculator. `HttpToolFactory` makes a tool that sends a request, `AgentToolFactory` asks an agent."""

    class Meta:
        model = Tool

    name = factory.Sequence(lambda number: f"tool-{number}")
    tool_kind = Tool.ToolKind.FUNCTION
    function = "calculator"


class HttpToolFactory(ToolFactory):
    tool_kind = Tool.ToolKind.HTTP
    function = ""
    request = factory.LazyFunction(lambda: {"method": "GET", "url": "https://api.example.com/items/{number}"})
    arguments_schema = factory.LazyFunction(
        lambda: {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}
    )


class AgentFactory(ConfigurationFactory):
    """An agent with a scripted model of its workspace; `AgentFactory(tools=[…])` gives it tools."""

    class Meta:
        model = Agent

    name = factory.Sequence(lambda number: f"agent-{number}")
    model = factory.SubFactory(ChatModelFactory, workspace=factory.SelfAttribute("..workspace"))


class AgentToolFactory(ToolFactory):
    """A tool that asks an agent of its workspace."""

    tool_kind = Tool.ToolKind.AGENT
    function = ""
    agent = factory.SubFactory(AgentFactory, workspace=factory.SelfAttribute("..workspace"))


class WorkflowFactory(ConfigurationFactory):
    """A published workflow of one step: it says what it was given, or asks `ask`, a model of its workspace."""

    class Meta:
        model = Workflow

    class Params:
        ask = ""

    name = factory.Sequence(lambda number: f"workflow-{number}")
    document = factory.LazyAttribute(lambda made: _workflow_document(made.ask))
    source = factory.LazyAttribute(lambda made: yaml.safe_dump({"name": made.name, **made.document}))
    references = factory.LazyAttribute(lambda made: references_of([made.document]))

    @classmethod
    def _create(cls, model_class, *args, published=True, **kwargs):
        workflow = super()._create(model_class, *args, **kwargs)
        return publish(workflow) if published else workflow


def _workflow_document(model: str) -> dict[str, Any]:
    kind = (
        {"kind": "llm", "model": model, "prompt": "{{ input.message }}"}
        if model
        else {"kind": "transform", "set": {"answer": "input.message"}}
    )
    output = {"output": "answer"} if model else {}
    return {
        "state": {"answer": {"type": "string"}},
        "nodes": [
            {"id": "start", "kind": "start"},
            {"id": "say", **kind, **output},
            {"id": "end", "kind": "end", "output": "{{ state.answer }}"},
        ],
        "edges": [{"from": "start", "to": "say"}, {"from": "say", "to": "end"}],
    }


class McpServerFactory(ConfigurationFactory):
    """A server that is reached over HTTP, at an address that is refused."""

    class Meta:
        model = McpServer

    name = factory.Sequence(lambda number: f"server-{number}")
    transport = McpServer.Transport.HTTP
    url = "http://127.0.0.1:9/mcp"


class McpToolFactory(ToolFactory):
    """A tool of an MCP server of its workspace."""

    tool_kind = Tool.ToolKind.MCP
    function = ""
    mcp_server = factory.SubFactory(McpServerFactory, workspace=factory.SelfAttribute("..workspace"))
    mcp_tool = "add"


class KnowledgeBaseFactory(DjangoModelFactory):
    """A knowledge base that is searched by words."""

    class Meta:
        model = KnowledgeBase

    workspace = factory.SubFactory(WorkspaceFactory)
    name = factory.Sequence(lambda number: f"base-{number}")


class DocumentFactory(DjangoModelFactory):
    """A document that is ready, with one chunk and no file."""

    class Meta:
        model = Document
        skip_postgeneration_save = True

    knowledge_base = factory.SubFactory(KnowledgeBaseFactory)
    name = factory.Sequence(lambda number: f"document-{number}.md")
    media_type = "text/markdown"
    size = 40
    sha256 = "0" * 64
    stored_as = factory.LazyFunction(lambda: f"knowledge/tests/{uuid7().hex}")
    status = Document.Status.READY
    progress = 1
    attempt = live_attempt = chunk_count = 1

    @factory.post_generation
    def text(self, create, extracted, **kwargs):
        Chunk.objects.create(
            document=self,
            knowledge_base_id=self.knowledge_base_id,
            attempt=1,
            position=0,
            text=extracted or "Everybody has 30 days of leave a year.",
            hash=uuid7(),
        )


class KnowledgeToolFactory(ToolFactory):
    """A tool that searches a knowledge base of its workspace."""

    tool_kind = Tool.ToolKind.KNOWLEDGE
    function = ""
    knowledge_base = factory.SubFactory(KnowledgeBaseFactory, workspace=factory.SelfAttribute("..workspace"))


# billing


class UsageRecordFactory(DjangoModelFactory):
    """A settled call of gpt-4o-mini by bob's trade assistant, a minute ago: 1,000 tokens in, 100 out."""

    class Meta:
        model = UsageRecord

    workspace = factory.SubFactory(WorkspaceFactory)
    timestamp = factory.LazyFunction(lambda: timezone.now() - timedelta(minutes=1))
    entry = Entry.SETTLED
    status = Outcome.OK
    call_id = factory.LazyFunction(uuid7)
    run_id = factory.LazyFunction(uuid7)
    agent = "trade-assistant"
    user = "bob"
    provider = "openai"
    model = "gpt-4o-mini"
    input_tokens = 1000
    output_tokens = 100
    input_price = Decimal("0.00000015")
    output_price = Decimal("0.0000006")
    cost = Decimal("0.00021")
    price_version = "genai-prices:test"


class BudgetFactory(DjangoModelFactory):
    """A budget of the whole workspace: 1 in its currency a day, which blocks. This process knows it at once."""

    class Meta:
        model = Budget

    workspace = factory.SubFactory(WorkspaceFactory)
    name = factory.Sequence("budget-{}".format)
    period = Budget.Period.DAY
    limit_amount = Decimal(1)
    action = Budget.Action.BLOCK
    currency = factory.SelfAttribute("workspace.currency")
    time_zone = factory.SelfAttribute("workspace.time_zone")

    @classmethod
    def _create(cls, model_class: type[Budget], *args: Any, **fields: Any) -> Budget:
        budget = super()._create(model_class, *args, **fields)
        forget_budgets(budget.workspace_id)
        return budget


class UsageExportFactory(DjangoModelFactory):
    """A completed export of audrey's, of no row, with its file in the storage."""

    class Meta:
        model = UsageExport
        skip_postgeneration_save = True

    workspace = factory.SubFactory(WorkspaceFactory)
    user_id = factory.LazyFunction(uuid7)
    user = "audrey"
    format = "csv"
    columns = ["id"]
    filters = {"start": "2026-11-01T00:00:00+00:00", "end": "2026-12-01T00:00:00+00:00"}
    options = DEFAULTS
    status = UsageExport.Status.COMPLETED
    attempt = 1
    size = 3
    sha256 = hashlib.sha256(b"id\n").hexdigest()
    expires_at = factory.LazyFunction(lambda: timezone.now() + timedelta(days=7))
    manifest = factory.LazyAttribute(
        lambda export: {
            "manifest": 1,
            "id": str(uuid7()),
            "workspace": export.workspace.slug,
            "workspace_id": str(export.workspace.pk),
            "asked_by": {"user_id": str(export.user_id), "user": export.user},
            "snapshot_at": "2026-12-01T00:00:00+00:00",
            "format": export.format,
            "columns": export.columns,
            "filters": export.filters,
            "options": export.options,
            "rows": 0,
            "sums": {},
            "ledger": {"position": 0, "hash": ""},
            "platform": {"name": "agentplatform", "version": "1.0"},
            "file": {"name": "usage.csv", "size": export.size, "sha256": export.sha256},
            "signature": "of nobody",
        }
    )

    @factory.post_generation
    def stored(self, create, extracted, **kwargs):
        if create and self.status == UsageExport.Status.COMPLETED:
            default_storage.save(name_of(self, self.attempt), ContentFile(b"id\n"))


class PriceFactory(DjangoModelFactory):
    """A price of openai's `house-model` in force since yesterday: 2 and 8 per million tokens."""

    class Meta:
        model = Price

    workspace = factory.SubFactory(WorkspaceFactory)
    provider = "openai"
    model = "house-model"
    input_per_million = Decimal(2)
    output_per_million = Decimal(8)
    valid_from = factory.LazyFunction(lambda: timezone.now() - timedelta(days=1))


class RepricingFactory(DjangoModelFactory):
    """The last day, done."""

    class Meta:
        model = Repricing

    workspace = factory.SubFactory(WorkspaceFactory)
    start = factory.LazyFunction(lambda: timezone.now() - timedelta(days=1))
    end = factory.LazyFunction(timezone.now)
    reason = "A wrong price."
    status = Repricing.Status.DONE


# runs


class SessionFactory(DjangoModelFactory):
    """A conversation of a member of its workspace, with an agent."""

    class Meta:
        model = Session

    workspace = factory.SubFactory(WorkspaceFactory)
    user = factory.LazyAttribute(lambda session: MembershipFactory(workspace=session.workspace).user)
    agent = factory.SubFactory(AgentFactory, workspace=factory.SelfAttribute("..workspace"))


class MemoryFactory(DjangoModelFactory):
    """What all agents of a workspace remember of one of its members."""

    class Meta:
        model = Memory

    workspace = factory.SubFactory(WorkspaceFactory)
    user = factory.LazyAttribute(lambda memory: MembershipFactory(workspace=memory.workspace).user)
    namespace = factory.LazyFunction(lambda: ["memories"])
    key = factory.LazyFunction(lambda: str(uuid7()))
    value = factory.LazyFunction(lambda: {"content": "Likes jasmine tea.", "topic": "drinks"})
    created_at = factory.LazyFunction(timezone.now)
    updated_at = factory.SelfAttribute("created_at")


class MessageFactory(DjangoModelFactory):
    class Meta:
        model = Message

    session = factory.SubFactory(SessionFactory)
    source = "user"
    content = factory.Sequence(lambda number: f"message {number}")
    created_at = factory.LazyFunction(timezone.now)


class AttachmentFactory(DjangoModelFactory):
    """A small text file in a session, which has not been sent yet."""

    class Meta:
        model = Attachment

    session = factory.SubFactory(SessionFactory)
    workspace = factory.SelfAttribute("session.workspace")
    name = "note.txt"
    media_type = "text/plain"
    size = 5
    sha256 = factory.LazyFunction(lambda: hashlib.sha256(b"Hello").hexdigest())
    file = factory.LazyFunction(lambda: ContentFile(b"Hello", "note.txt"))
    created_at = factory.LazyFunction(timezone.now)


def uuid7_at(moment: datetime) -> UUID:
    """An id as it would have been made then."""
    return UUID(int=first_uuid7_at(moment).int | uuid7().int & ((1 << 80) - 1))


class RunFactory(DjangoModelFactory):
    """A run that has just completed, of a member of its workspace. Its steps and events are made apart."""

    class Meta:
        model = Run

    id = factory.LazyAttribute(lambda run: uuid7_at(run.created_at))
    workspace = factory.SubFactory(WorkspaceFactory)
    user = factory.LazyAttribute(lambda run: MembershipFactory(workspace=run.workspace).user)
    username = factory.LazyAttribute(lambda run: run.user.username if run.user else "")
    agent = factory.SubFactory(AgentFactory, workspace=factory.SelfAttribute("..workspace"))
    agent_name = factory.LazyAttribute(lambda run: run.agent.name)
    agent_version = factory.LazyAttribute(lambda run: run.agent.version)
    model = factory.LazyAttribute(lambda run: run.agent.model)
    status = Status.COMPLETED
    attempt = 1
    input_query = "What is 17 * 23?"
    input = factory.LazyAttribute(lambda run: {"messages": [{"role": "user", "content": run.input_query}]})
    response_content = "17 * 23 is 391."
    created_at = factory.LazyFunction(timezone.now)
    updated_at = factory.LazyAttribute(lambda run: run.created_at)


class RunStepFactory(DjangoModelFactory):
    """A model call."""

    class Meta:
        model = RunStep

    run = factory.SubFactory(RunFactory)
    step_num = factory.LazyAttribute(lambda step: step.run.steps.count() + 1)
    node = "model"
    attempt = 1
    type = RunStep.StepType.MODEL
    model_response = "17 * 23 is 391."
    started_at = factory.LazyFunction(timezone.now)
    finished_at = factory.LazyFunction(timezone.now)


class ApprovalFactory(DjangoModelFactory):
    """A call of the calculator that a waiting run asks a person for."""

    class Meta:
        model = Approval

    workspace = factory.SelfAttribute("run.workspace")
    run = factory.SubFactory(RunFactory, status=Status.WAITING)
    kind = Approval.Kind.TOOL_CALL
    key = factory.LazyAttribute(lambda approval: f"{approval.kind}:{approval.step}:{approval.call_id}")
    step = 2
    tool = "calculator"
    call_id = factory.Sequence(lambda number: f"call-{number}")
    arguments = factory.LazyFunction(lambda: {"expression": "17 * 23"})
    created_at = factory.LazyFunction(timezone.now)


class ToolCallFactory(DjangoModelFactory):
    """A call of the calculator that has ended."""

    class Meta:
        model = ToolCall

    run = factory.SubFactory(RunFactory)
    step_num = 2
    call_id = factory.Sequence(lambda number: f"call-{number}")
    tool = "calculator"
    attempt = 1
    status = ToolCall.Status.DONE
    claimed_at = factory.LazyFunction(timezone.now)
    finished_at = factory.LazyFunction(timezone.now)


class RunEventFactory(DjangoModelFactory):
    """The run's next event; the run counts it in `last_seq`."""

    class Meta:
        model = RunEvent

    run = factory.SubFactory(RunFactory)
    seq = factory.LazyAttribute(lambda event: event.run.last_seq + 1)
    attempt = 1
    type = EventType.CONTENT_DELTA
    timestamp = factory.LazyFunction(timezone.now)
    data = factory.LazyFunction(lambda: {"content": "word "})

    @classmethod
    def _create(cls, model_class, *args, **kwargs):
        event = super()._create(model_class, *args, **kwargs)
        event.run.last_seq = event.seq
        event.run.save(update_fields=["last_seq"])
        return event


class ScheduleFactory(DjangoModelFactory):
    """Every day at 7:30 in Berlin, as a member of its workspace; due a day from now."""

    class Meta:
        model = Schedule

    workspace = factory.SubFactory(WorkspaceFactory)
    user = factory.LazyAttribute(lambda schedule: MembershipFactory(workspace=schedule.workspace).user)
    agent = factory.SubFactory(AgentFactory, workspace=factory.SelfAttribute("..workspace"))
    name = factory.Sequence(lambda number: f"schedule-{number}")
    input = factory.LazyFunction(lambda: {"messages": [{"role": "user", "content": "What is 17 * 23?"}]})
    cron = "30 7 * * *"
    timezone = "Europe/Berlin"
    next_run_at = factory.LazyFunction(lambda: timezone.now() + timedelta(days=1))


class WebhookFactory(DjangoModelFactory):
    """Is told of the ends of all runs."""

    class Meta:
        model = Webhook

    workspace = factory.SubFactory(WorkspaceFactory)
    name = factory.Sequence(lambda number: f"webhook-{number}")
    url = "https://hooks.example.com/agents"
    events = factory.LazyFunction(lambda: ["run_completed", "run_failed", "run_cancelled"])
    secret = factory.LazyFunction(new_secret)


class WebhookDeliveryFactory(DjangoModelFactory):
    """A message that waits for its first attempt."""

    class Meta:
        model = WebhookDelivery

    webhook = factory.SubFactory(WebhookFactory)
    type = "run_completed"
    payload = factory.LazyAttribute(lambda delivery: {"type": delivery.type, "data": {"response": "391"}})
    created_at = factory.LazyFunction(timezone.now)
    next_attempt_at = factory.LazyAttribute(lambda delivery: delivery.created_at)


class CheckpointFactory(DjangoModelFactory):
    """A state of a run as LangGraph saves it. `messages` are shaped as states show them."""

    class Meta:
        model = Checkpoint

    run = factory.SubFactory(RunFactory)
    thread_id = factory.LazyAttribute(lambda checkpoint: checkpoint.run.thread_id)
    checkpoint_id = factory.LazyFunction(lambda: str(uuid7()))
    step_num = factory.LazyAttribute(lambda checkpoint: checkpoint.run.checkpoints.count())
    metadata = factory.LazyAttribute(lambda checkpoint: {"source": "loop", "run_id": str(checkpoint.run.pk)})
    created_at = factory.LazyFunction(timezone.now)

    @classmethod
    def _create(cls, model_class, *args, messages=(), **kwargs):
        # Imported here because it brings LangChain along, which most tests do without.
        from runs.engine.messages import from_json
        from runs.engine.states import strict_serializer

        version = kwargs["checkpoint_id"]
        kind, blob = strict_serializer().dumps_typed([from_json(message) for message in messages])
        place = {"thread_id": kwargs["thread_id"], "channel": "messages", "version": version}
        CheckpointBlob.objects.create(**place, type=kind, blob=blob)
        state = {
            "v": 4,
            "id": kwargs["checkpoint_id"],
            "ts": kwargs["created_at"].isoformat(),
            "channel_values": {},
            "channel_versions": {"messages": version},
            "versions_seen": {},
        }
        return super()._create(model_class, *args, checkpoint=state, message_count=len(messages), **kwargs)
