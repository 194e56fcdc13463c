"""The synchronous routes of messages; saying one otherwise is in `message_chat`."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from agentplatform.lib.async_views import validated
from agentplatform.lib.schema import failures
from runs import live
from runs.api.chat import SESSION_ID
from runs.api.message_chat import MESSAGE_ID, session_key
from runs.api.representations import message_json, session_json
from runs.api.session_serializers import (
    BranchSessionSerializer,
    SelectedSerializer,
    SelectMessageSerializer,
    SessionSerializer,
    StoppedSerializer,
)
from runs.conversations import copies, verbs
from runs.conversations.shown import complete
from runs.models import Session
from runs.sessions import with_state


class ConversationViewSet(TenantViewSet):
    """What is done with a conversation as a whole, and with one of its messages."""

    queryset = Session.objects.all()
    serializer_class = SessionSerializer
    filter_backends = []
    permissions = {"select": "write:session", "branch": "write:session", "stop": "control:run"}

    @extend_schema(
        operation_id="sessions_message_select",
        parameters=[SESSION_ID, MESSAGE_ID],
        request=SelectMessageSerializer,
        responses={200: SelectedSerializer, **failures(404, 409, 422)},
    )
    def select(self, request: Request, pk: str, message_id: str) -> Response:
        """Select a version of a message

        Shows the branch of the conversation that it stands on, down to its newest turn; the next message follows
        there. 409 while a run of the session is under way, unless `multitask_strategy` ends it.
        """
        strategy = validated(SelectMessageSerializer, request.data).get("multitask_strategy")
        key = session_key(pk)
        message, events = verbs.select(self.actor, key, message_id, strategy)
        live.announce(events)
        complete([message])
        return Response({"session": _session(key), "message": message_json(message)})

    @extend_schema(
        operation_id="sessions_stop",
        parameters=[SESSION_ID],
        request=None,
        responses={200: StoppedSerializer, **failures(404)},
    )
    def stop(self, request: Request, pk: str) -> Response:
        """Stop answering

        Cancels the runs of the session that are queued or under way. What has been streamed of an answer stays in the
        history, with `stopped` in its metadata, and the agent knows it.
        """
        key = session_key(pk)
        run_ids, events = verbs.stop(self.actor, key)
        live.announce(events)
        told = {0: "Nothing was under way.", 1: "The run is cancelled."}.get(
            len(run_ids), f"{len(run_ids)} runs are cancelled."
        )
        return Response(
            {"session_id": str(key), "run_ids": [str(run_id) for run_id in run_ids], "message": told}
        )

    @extend_schema(
        operation_id="sessions_branch",
        parameters=[SESSION_ID],
        request=BranchSessionSerializer,
        responses={201: SessionSerializer, **failures(404, 409, 422)},
    )
    def branch(self, request: Request, pk: str) -> Response:
        """Branch a session

        Makes a session of one's own with the history up to a message, itself included, and the agent's state there.
        The runs stay with the session that they were in.
        """
        values = validated(BranchSessionSerializer, request.data)
        made = copies.branch(self.actor, session_key(pk), values["message_id"], values.get("name"))
        return Response(_session(made.pk), status=201)


def _session(key: object) -> dict[str, object]:
    return session_json(with_state(Session.objects.select_related("agent")).get(pk=key))
