"""Hash chains over the API: where one ends, and whether it is as it was sealed."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from agentplatform.lib.hash_chain import GENESIS, Chain, Fault, Head, head, verify, waiting
from agentplatform.lib.pagination import whole_number
from agentplatform.lib.schema import failures

# Positions that one request verifies: about a second.
MOST_POSITIONS = 100_000
# A chain never comes as far.
MOST_ROWS = 10**11 - 1
MEANING = {
    "changed": "The row is not what it was when it was sealed.",
    "removed": "The row, or its seal, is not there any more.",
    "inserted": "The row came past the database's triggers: it has no place in the chain.",
    "unsigned": "The chain does not end as the platform ended it: it was cut off, or made anew.",
}


class ChainHeadSerializer(serializers.Serializer[Any]):
    """The end of a chain. Note it down elsewhere: it proves later that nothing up to it was removed."""

    position = serializers.IntegerField(help_text="How many rows are sealed.")
    hash = serializers.CharField(help_text="64 hexadecimal digits.")
    waiting = serializers.IntegerField(help_text="Rows that are committed and not sealed yet.")

    example = {"position": 20480, "hash": "9f86d081884c7d65" * 4, "waiting": 3}


class ChainFaultSerializer(serializers.Serializer[Any]):
    problem = serializers.ChoiceField(choices=list(MEANING))
    position = serializers.IntegerField(allow_null=True, help_text="Null: the row has no place in the chain.")
    record_id = serializers.UUIDField(allow_null=True, help_text="Null: not known any more.")
    message = serializers.CharField()


class ChainVerificationSerializer(serializers.Serializer[Any]):
    """What a verification found."""

    is_right = serializers.BooleanField(help_text="Nothing that was verified was changed or removed.")
    is_whole = serializers.BooleanField(help_text="The chain was verified to its end.")
    position = serializers.IntegerField(help_text="The last position that is right.")
    hash = serializers.CharField(help_text="Its hash.")
    fault = ChainFaultSerializer(allow_null=True)

    example = {
        "is_right": True,
        "is_whole": True,
        "position": 20480,
        "hash": "9f86d081884c7d65" * 4,
        "fault": None,
    }


class ChainQuerySerializer(serializers.Serializer[Any]):
    """From where on to verify."""

    position = serializers.IntegerField(
        default=0, min_value=0, max_value=MOST_ROWS, help_text="Begin after this position; needs its `hash`."
    )
    hash = serializers.RegexField(
        r"^[0-9a-f]{64}\Z",
        default="",
        help_text="Of `position`, as a head or a verification before told it.",
        error_messages={"invalid": "Give the hash as 64 hexadecimal digits in lower case."},
    )
    limit = serializers.IntegerField(default=MOST_POSITIONS, min_value=1, max_value=MOST_POSITIONS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs["position"]) != bool(attrs["hash"]):
            raise serializers.ValidationError({"hash": "Give position and hash together, or neither."})
        return attrs


class ChainViewSet(TenantViewSet):
    """The chain of the caller's workspace. A subclass names the chain, and the permissions for both actions."""

    chain: Chain

    @extend_schema(responses={200: ChainHeadSerializer}, filters=False)
    def read_head(self, request: Request) -> Response:
        """Read the end of the chain

        Note it down elsewhere: it proves later that nothing up to it was removed.
        """
        workspace_id = self.actor.workspace_id
        last = head(self.chain, workspace_id)
        behind = waiting(self.chain, workspace_id)
        answer = {"position": last.position, "hash": last.hash.hex(), "waiting": behind}
        return Response(ChainHeadSerializer(answer).data)

    @extend_schema(
        parameters=[ChainQuerySerializer],
        responses={200: ChainVerificationSerializer, **failures(422)},
        filters=False,
    )
    def verify_rows(self, request: Request) -> Response:
        """Verify the chain

        Recomputes up to `limit` hashes from the rows as they are now, and names the first row that was changed,
        removed or inserted. Where `is_whole` is false, ask again from the `position` and `hash` of the answer.
        """
        query = ChainQuerySerializer(
            data={
                **request.query_params.dict(),
                "position": whole_number(request, "position", 0, 0, MOST_ROWS),
                "limit": whole_number(request, "limit", MOST_POSITIONS, 1, MOST_POSITIONS),
            }
        )
        query.is_valid(raise_exception=True)
        chosen = query.validated_data
        after = Head(chosen["position"], bytes.fromhex(chosen["hash"]) if chosen["hash"] else GENESIS)
        verdict = verify(self.chain, self.actor.workspace_id, after, chosen["limit"])
        answer = {
            "is_right": verdict.fault is None,
            "is_whole": verdict.is_whole,
            "position": verdict.head.position,
            "hash": verdict.head.hash.hex(),
            "fault": _told(verdict.fault),
        }
        return Response(ChainVerificationSerializer(answer).data)


def _told(fault: Fault | None) -> dict[str, Any] | None:
    if fault is None:
        return None
    return {
        "problem": fault.problem,
        "position": fault.position,
        "record_id": fault.record_id,
        "message": MEANING[fault.problem],
    }
