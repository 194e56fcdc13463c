"""What a workspace keeps once it is in use."""

from __future__ import annotations

from accounts.models import Workspace
from agentplatform.lib.errors import Invalid


def keep_currency(workspace: Workspace, currency: str) -> None:
    """Raises Invalid where `currency` is another one than prices and usage of the workspace are in.

    Amounts have no rate of exchange: those of before would be read as of the new currency. To be called in the
    transaction of the change: until it ends, no price can be added.
    """
    kept = Workspace.objects.select_for_update().get(pk=workspace.pk)
    if currency == kept.currency:
        return
    has = {"prices": kept.prices.exists(), "usage": kept.usage_records.settled().exists()}
    if found := " and ".join(name for name, there_is in has.items() if there_is):
        remedy = f"Keep {kept.currency}, or make another workspace with {currency}."
        raise Invalid({"currency": f"The workspace has {found} in {kept.currency}. {remedy}"})
