"""What the documentation shows."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

MESSAGE = "01934d6e-9c3e-7e74-9f70-4bac3d5e6f70"
RUN = "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e"
APPROVAL = "01934d6e-9f52-7a8b-8c1d-6e7f8091a2b3"
SESSION = "01934d6e-8b2d-7d63-8e6f-3a9b2c4d5e6f"

METRICS: Json = {
    "total_tokens": 184,
    "input_tokens": 152,
    "output_tokens": 32,
    "total_steps": 1,
    "duration": 1.42,
    "cost": "0.000214",
    "currency": "USD",
    "children": None,
}
RUN_ITEM: Json = {
    "id": RUN,
    "agent_id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d60",
    "agent": "shop-assistant",
    "workflow_id": None,
    "workflow": "",
    "user_id": "customer-81",
    "session_id": SESSION,
    "parent_id": None,
    "relation": "",
    "source_checkpoint_id": None,
    "description": "",
    "status": "completed",
    "attempt": 1,
    "error": None,
    "metrics": METRICS,
    "tags": ["checkout"],
    "priority": 0,
    "started_by": "alice",
    "api_key": "",
    "created_at": "2026-11-21T10:30:00Z",
    "queued_at": "2026-11-21T10:30:00Z",
    "started_at": "2026-11-21T10:30:00.012Z",
    "finished_at": "2026-11-21T10:30:01.432Z",
    "updated_at": "2026-11-21T10:30:01.432Z",
    "input_query": "What is 17 * 23?",
}
WHOLE_RUN: Json = RUN_ITEM | {
    "agent_version": 2,
    "workflow_version": None,
    "input": {"messages": [{"role": "user", "content": "What is 17 * 23?"}]},
    "response_content": "17 * 23 is 391.",
    "output": None,
    "steps": [
        {
            "step_num": 1,
            "type": "model",
            "node": "model",
            "attempt": 1,
            "messages": [{"role": "assistant", "content": "17 * 23 is 391."}],
            "model_response": "17 * 23 is 391.",
            "metrics": {"duration": 1.2, "input_tokens": 152, "output_tokens": 32, "total_tokens": 184},
            "started_at": "2026-11-21T10:30:00.015Z",
            "finished_at": "2026-11-21T10:30:01.215Z",
        }
    ],
    "config": {"temperature": 0.1},
    "limits": {"timeout": 60},
    "metadata": {"order": 1204},
}
APPROVAL_OBJECT: Json = {
    "id": APPROVAL,
    "run_id": RUN,
    "agent": "shop-assistant",
    "workflow": "",
    "kind": "tool_call",
    "status": "pending",
    "tool": "refund_order",
    "call_id": "call_7f3a",
    "step": 2,
    "message": "",
    "arguments": {"order": 1204, "amount": "49.90"},
    "edited_arguments": None,
    "reason": "",
    "deadline": "2026-11-22T10:30:00Z",
    "default": "reject",
    "decided_by": "",
    "created_at": "2026-11-21T10:30:00Z",
    "decided_at": None,
}
ATTACHMENT_OBJECT: Json = {
    "id": "01934d6e-9d4f-7f85-a081-5cbd4e6f7081",
    "name": "invoice.pdf",
    "media_type": "application/pdf",
    "size": 48213,
    "created_at": "2026-11-21T10:29:50Z",
}
MESSAGE_OBJECT: Json = {
    "id": MESSAGE,
    "session_id": SESSION,
    "run_id": RUN,
    "source": "user",
    "content": "What is 17 * 23?",
    "type": "text",
    "thought": "",
    "models_usage": None,
    "metadata": {},
    "variants": [MESSAGE],
    "attachments": [],
    "created_at": "2026-11-21T10:30:00Z",
}
SESSION_OBJECT: Json = {
    "id": SESSION,
    "name": "What is 17 * 23?",
    "agent": "shop-assistant",
    "user_id": "customer-81",
    "agent_state": {
        "checkpoint_id": "01934d6e-ad4f-7f85-a081-5cbd4e6f7081",
        "run_id": RUN,
        "step_num": 3,
        "saved_at": "2026-11-21T10:30:01.4+00:00",
    },
    "created_at": "2026-11-21T10:29:00Z",
    "updated_at": "2026-11-21T10:30:01.432Z",
}
EVENT: Json = {
    "run_id": RUN,
    "seq": 4,
    "attempt": 1,
    "step": 1,
    "node": "model",
    "type": "content_delta",
    "timestamp": "2026-11-21T10:30:00.480Z",
    "data": {"content": "17 * 23 is "},
}
EVENT_STREAM = f"""retry: 1000

id: 1
event: run_queued
data: {{"run_id":"{RUN}"}}

id: 2
event: run_started
data: {{"run_id":"{RUN}","timestamp":"2026-11-21T10:30:00.012+00:00"}}

id: 4
event: content_delta
data: {{"content":"17 * 23 is "}}

id: 9
event: run_completed
data: {{"run_id":"{RUN}","response":"17 * 23 is 391.","metrics":{{"total_tokens":184}}}}

"""
