"""A conversation with an agent whose model repeats what it is told, over HTTP, as a client leads it."""

from __future__ import annotations

import time
from typing import Any

import httpx

from runs.models import RunEvent, Session
from tests.model_endpoint import ModelEndpoint

Json = dict[str, Any]


class Talk:
    """`talk.say("One")` waits for the answer. `texts` are those that its history shows."""

    def __init__(self, client: httpx.Client, session: Session, endpoint: ModelEndpoint) -> None:
        self.client = client
        self.session = session
        self.endpoint = endpoint

    @property
    def path(self) -> str:
        return f"/sessions/{self.session.pk}"

    def post(self, path: str, body: Json | None = None) -> httpx.Response:
        return self.client.post(f"{self.path}/{path}", json=body or {})

    def ended(self, answer: httpx.Response) -> Json:
        """What was answered at once, when the run that it names has ended."""
        assert answer.status_code == 202, answer.text
        self.client.get(f"/runs/{answer.json()['run_id']}/wait")
        return answer.json()

    def say(self, content: str, **body: Any) -> Json:
        return self.ended(self.post("chat", {"content": content, **body}))

    def edit(self, content: str, instead: str, **body: Any) -> Json:
        """Says the shown message with this content otherwise."""
        return self.ended(self.post(f"messages/{self.id_of(content)}/edit", {"content": instead, **body}))

    def regenerate(self, content: str, **body: Any) -> Json:
        return self.ended(self.post(f"messages/{self.id_of(content)}/regenerate", body))

    def select(self, message_id: str) -> Json:
        answer = self.post(f"messages/{message_id}/select")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stalled(self, content: str = "Count") -> str:
        """The id of a run that is being answered, of which something has been streamed, and that does not end."""
        self.endpoint.script("stall-6")
        run_id = self.post("chat", {"content": content}).json()["run_id"]
        while not RunEvent.objects.filter(run_id=run_id, type="content_delta").exists():
            time.sleep(0.01)
        time.sleep(0.1)
        return str(run_id)

    def history(self, **query: Any) -> list[Json]:
        answer = self.client.get(f"{self.path}/history", params=query)
        items: list[Json] = answer.json()["items"]
        return items

    @property
    def texts(self) -> list[str]:
        return [message["content"] for message in self.history()]

    def message(self, content: str, place: int = 0) -> Json:
        return [message for message in self.history() if message["content"] == content][place]

    def id_of(self, content: str) -> str:
        return str(self.message(content)["id"])

    @property
    def told(self) -> list[str]:
        """What the model was told in its last call, the system prompt left out."""
        messages = self.endpoint.requests[-1].body["messages"]
        return [message["content"] for message in messages if message["role"] != "system"]
