"""A workspace with a row of every kind in it, for walks over all routes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.db.models import Model

from accounts.models import SavedFilter, User, Workspace
from accounts.roles import Role
from agents.launch import prepare
from agents.models import Secret
from runs.models import RunPayload
from tests import factories

MARKER = "ACME-SECRET-MARKER"


class Tenant(SimpleNamespace):
    """One row of each kind, all of one workspace.

    `admin` owns those that have owners, `member` is a further member. Every text holds `marker`; the names of
    configurations begin with the workspace's slug.
    """

    workspace: Workspace
    admin: User
    member: User

    def rows(self) -> list[Any]:
        return [row for row in vars(self).values() if isinstance(row, Model)]

    def ids(self) -> list[str]:
        """The ids that no other tenant's rows can have."""
        return [str(row.pk) for row in self.rows() if "-" in str(row.pk)]

    def names(self) -> list[str]:
        """The names by which configurations are referred to."""
        rows = (
            self.fallback,
            self.model,
            self.tool,
            self.mcp_server,
            self.knowledge_base,
            self.document,
            self.agent,
            self.workflow,
        )
        return [row.name for row in rows]


def make_tenant(workspace: Workspace, admin: User, marker: str) -> Tenant:
    User.objects.filter(pk=admin.pk).update(first_name=marker)
    Workspace.objects.filter(pk=workspace.pk).update(name=marker)
    tenant = Tenant(workspace=workspace, admin=admin)
    _add_accounts(tenant, marker)
    _add_configuration(tenant, marker)
    _add_billing(tenant, marker)
    _add_run(tenant, marker)
    _add_hooks(tenant, marker)
    return tenant


def _add_accounts(tenant: Tenant, marker: str) -> None:
    tenant.member = factories.UserFactory(username=f"{tenant.workspace.slug}-member", first_name=marker)
    factories.MembershipFactory(workspace=tenant.workspace, user=tenant.member, role=Role.USER)
    tenant.api_key = factories.ApiKeyFactory(workspace=tenant.workspace, user=tenant.admin, name=marker)
    tenant.saved_filter = SavedFilter.objects.create(
        workspace=tenant.workspace, user=tenant.admin, page="runs.run", name=marker, query="status=failed"
    )
    tenant.audit_entry = factories.AuditEntryFactory(
        workspace=tenant.workspace,
        user_id=tenant.admin.pk,
        user=marker,
        resource_name=marker,
        after={marker: marker},
    )


def _add_configuration(tenant: Tenant, marker: str) -> None:
    common = {"workspace": tenant.workspace, "description": marker}
    prefix = tenant.workspace.slug
    tenant.secret = Secret.objects.create(workspace=tenant.workspace, value=marker, hint=marker[:8])
    tenant.fallback = factories.ChatModelFactory(name=f"{prefix}-fallback", **common)
    tenant.model = factories.ChatModelFactory(
        name=f"{prefix}-model", secret=tenant.secret, fallbacks=[tenant.fallback], **common
    )
    tenant.tool = factories.ToolFactory(name=f"{prefix}-tool", **common)
    tenant.mcp_server = factories.McpServerFactory(name=f"{prefix}-server", **common)
    tenant.knowledge_base = factories.KnowledgeBaseFactory(name=f"{prefix}-base", **common)
    tenant.document = factories.DocumentFactory(
        knowledge_base=tenant.knowledge_base, name=f"{prefix}-document.md", text=marker, error=marker
    )
    tenant.agent = factories.AgentFactory(
        name=f"{prefix}-agent",
        model=tenant.model,
        tools=[tenant.tool],
        system_prompt=marker,
        tags=[marker],
        is_default=True,
        **common,
    )
    tenant.workflow = factories.WorkflowFactory(
        name=f"{prefix}-workflow", ask=tenant.model.name, tags=[marker], **common
    )


def _add_billing(tenant: Tenant, marker: str) -> None:
    tenant.price = factories.PriceFactory(workspace=tenant.workspace, model=marker)
    tenant.repricing = factories.RepricingFactory(
        workspace=tenant.workspace, model=marker, agent=marker, reason=marker, error=marker
    )
    # It only alerts: the walks would spend it.
    tenant.budget = factories.BudgetFactory(
        workspace=tenant.workspace, name=marker, recipients=[f"{marker}@example.com"], action="alert"
    )
    tenant.usage = factories.UsageRecordFactory(
        workspace=tenant.workspace, agent=marker, user=marker, model=marker, api_key=marker, end_user=marker
    )
    tenant.usage_export = factories.UsageExportFactory(
        workspace=tenant.workspace,
        user_id=tenant.admin.pk,
        user=marker,
        api_key=marker,
        error=marker,
        filters={"agent": marker},
    )


def _add_run(tenant: Tenant, marker: str) -> None:
    common = {"workspace": tenant.workspace, "user": tenant.admin, "agent": tenant.agent}
    tenant.session = factories.SessionFactory(title=marker, end_user=marker, **common)
    tenant.run = factories.RunFactory(
        session=tenant.session,
        input_query=marker,
        response_content=marker,
        error={"class": "internal", "message": marker},
        pins=prepare(tenant.workspace.pk, tenant.agent.name).pins,
        metadata={marker: marker},
        tags=[marker],
        end_user=marker,
        **common,
    )
    tenant.message = factories.MessageFactory(session=tenant.session, run=tenant.run, content=marker)
    tenant.attachment = factories.AttachmentFactory(
        session=tenant.session, user=tenant.admin, name=f"{marker}.txt"
    )
    tenant.step = factories.RunStepFactory(run=tenant.run, model_response=marker)
    tenant.event = factories.RunEventFactory(run=tenant.run, data={"content": marker})
    tenant.memory = factories.MemoryFactory(
        end_user=marker, value={"content": marker, "topic": marker}, key=marker, **common
    )
    tenant.approval = factories.ApprovalFactory(
        run=tenant.run, tool=tenant.tool.name, arguments={"expression": marker}, reason=marker
    )
    tenant.tool_call = factories.ToolCallFactory(run=tenant.run, message={"content": marker})
    tenant.payload = RunPayload.objects.create(run=tenant.run, data={"content": marker})
    tenant.checkpoint = factories.CheckpointFactory(
        run=tenant.run,
        messages=[{"role": "user", "content": marker}],
        metadata={"content": marker},
        description=marker,
        tags=[marker],
    )


def _add_hooks(tenant: Tenant, marker: str) -> None:
    prefix = tenant.workspace.slug
    tenant.schedule = factories.ScheduleFactory(
        workspace=tenant.workspace,
        user=tenant.admin,
        agent=tenant.agent,
        name=f"{prefix}-schedule",
        end_user=marker,
        input={"messages": [{"role": "user", "content": marker}]},
        metadata={marker: marker},
        tags=[marker],
        pause_reason=marker,
    )
    tenant.webhook = factories.WebhookFactory(
        workspace=tenant.workspace,
        agent=tenant.agent,
        name=f"{prefix}-webhook",
        url=f"https://hooks.example.com/{marker}",
        disabled_reason=marker,
    )
    tenant.delivery = factories.WebhookDeliveryFactory(
        webhook=tenant.webhook, run_id=tenant.run.pk, payload={"data": marker}, response=marker, error=marker
    )
