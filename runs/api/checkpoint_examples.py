"""What the documentation shows of checkpoints and what begins at them."""

from __future__ import annotations

from runs.api.examples import RUN, Json

FORKED = "01934d6f-1b2c-7d53-8a6f-0c1d2e3f4a5b"

CHECKPOINT: Json = {
    "id": "01934d6e-ad4f-7f85-a081-5cbd4e6f7081",
    "step_num": 1,
    "description": "Before the refund",
    "tags": ["refund"],
    "manual": True,
    "created_at": "2026-11-21T10:30:01.215Z",
    "message_count": 2,
    "total_tokens": 184,
}
STATE: Json = {
    "id": CHECKPOINT["id"],
    "run_id": RUN,
    "parent_id": "01934d6e-9c3e-7e74-9f70-4bac3d5e6f71",
    "status": "completed",
    "messages": [
        {"role": "user", "content": "What is 17 * 23?"},
        {"role": "assistant", "content": "17 * 23 is 391."},
    ],
    "metrics": {"total_tokens": 184, "total_steps": 1},
    "state": None,
    "output": None,
    "agent_config": {"name": "shop-assistant", "model": "fast", "config": {"temperature": 0.1}},
} | {name: value for name, value in CHECKPOINT.items() if name != "id"}
DIFF: Json = {
    "checkpoint_id": CHECKPOINT["id"],
    "with": "01934d6f-2c3d-7e64-9b70-1d2e3f4a5b6c",
    "messages": {
        "common": 1,
        "removed": [{"role": "assistant", "content": "17 * 23 is 391."}],
        "added": [{"role": "assistant", "content": "It is 391."}],
    },
    "metrics": {"total_tokens": {"old": 184, "new": 171}},
    "state": {},
    "agent_config": {"system_prompt": {"old": "", "new": "Be brief."}},
}
FORK: Json = {
    "description": "Briefer, on another model",
    "modifications": {
        "modified_query": "What is 17 * 23? The number only.",
        "system_prompt": "Be brief.",
        "model": "fast",
        "config": {"temperature": 0},
    },
}
LINEAGE: Json = {
    "root_id": RUN,
    "total": 2,
    "truncated": False,
    "runs": [
        {
            "id": RUN,
            "parent_id": None,
            "relation": "",
            "source_checkpoint_id": None,
            "step_num": None,
            "description": "",
            "status": "completed",
            "created_at": "2026-11-21T10:30:00Z",
            "depth": 0,
        },
        {
            "id": FORKED,
            "parent_id": RUN,
            "relation": "fork",
            "source_checkpoint_id": CHECKPOINT["id"],
            "step_num": 1,
            "description": "Briefer, on another model",
            "status": "running",
            "created_at": "2026-11-21T11:00:00Z",
            "depth": 1,
        },
    ],
}
