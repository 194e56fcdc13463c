"""The ledger's hash chain, for auditors."""

from __future__ import annotations

from accounts.api.chains import ChainViewSet
from billing.models import UsageRecord
from billing.sealing import LEDGER


class LedgerViewSet(ChainViewSet):
    """The chain over the entries of the workspace's ledger."""

    queryset = UsageRecord.objects.all()
    chain = LEDGER
    permissions = {"read_head": "verify:ledger", "verify_rows": "verify:ledger"}
