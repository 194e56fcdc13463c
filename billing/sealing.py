"""The ledger's hash chain: which columns it covers, and what follows its entries; see `lib.hash_chain`."""

from __future__ import annotations

from agentplatform.lib.hash_chain import Chain, register
from billing import rollups
from billing.models import LedgerSeal, UnsealedUsage, UsageRecord

# Names can be erased, so the chain covers which name an entry refers to, not the name.
FORMAT_1 = (
    "id", "workspace", "timestamp", "recorded_at", "entry", "status", "call_id", "run_id", "attempt", "step",
    "session_id", "agent_id", "agent", "workflow_id", "workflow", "tags", "user_id", "user_name", "end_user_name",
    "api_key_id", "api_key_name", "provider", "model", "input_tokens", "cached_tokens", "cache_write_tokens",
    "output_tokens", "reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "input_image_tokens",
    "output_image_tokens", "requests", "input_price", "output_price", "prices", "cost", "currency", "price_version",
    "correction_of", "revision", "is_reversal",
)  # fmt: skip

LEDGER = register(
    "ledger",
    Chain(
        records=UsageRecord,
        seals=LedgerSeal,
        unsealed=UnsealedUsage,
        formats={1: FORMAT_1},
        followers=[rollups.fold],
    ),
)
