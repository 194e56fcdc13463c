"""The routes of webhooks and of their deliveries."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantModelViewSet, TenantViewSet
from runs.api import webhook_serializers as serializers
from runs.api.filters import DeliveryFilter, WebhookFilter
from runs.models import Webhook, WebhookDelivery
from runs.webhooks import editing

WEBHOOK_ID = OpenApiParameter("id", str, OpenApiParameter.PATH, description="Id or name.")
DELIVERY_ID = OpenApiParameter(
    "delivery_id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="Id of the delivery."
)


class WebhookViewSet(TenantModelViewSet):
    """Addresses that are told of events of runs, in signed messages as Standard Webhooks has them."""

    # Secrets are read where a message is signed.
    queryset = Webhook.objects.defer("secret", "previous_secret")
    serializer_class = serializers.WebhookSerializer
    filterset_class = WebhookFilter
    search_fields = ["name", "url"]
    ordering_fields = ["name", "created_at"]
    permissions = {
        "list": "read:webhook",
        "retrieve": "read:webhook",
        "create": "write:webhook",
        "update": "write:webhook",
        "partial_update": "write:webhook",
        "rotate_secret": "write:webhook",
        "test": "write:webhook",
        "destroy": "delete:webhook",
    }

    def perform_destroy(self, instance: Webhook) -> None:
        editing.delete(instance)

    @extend_schema(responses={201: serializers.SecretWebhookSerializer})
    def create(self, request: Request) -> Response:
        """Create a webhook

        The answer has its secret, which is not shown again.
        """
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(serializers.SecretWebhookSerializer(asked.save()).data, status=201)

    @extend_schema(request=None, responses=serializers.SecretWebhookSerializer)
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: str) -> Response:
        """Change the secret of a webhook

        The answer has the new one, which is not shown again. For 24 hours messages carry a signature of the one before,
        too.
        """
        webhook = editing.rotate_secret(self.get_object())
        return Response(serializers.SecretWebhookSerializer(webhook).data)

    @extend_schema(request=None, responses={202: serializers.DeliverySerializer})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Test a webhook

        Sends it a message of the type `webhook_test`; what becomes of it stands in its deliveries. One that is disabled
        answers 409.
        """
        delivery = editing.send_test(self.get_object())
        return Response(serializers.DeliverySerializer(delivery).data, status=202)


@extend_schema_view(list=extend_schema(parameters=[WEBHOOK_ID]))
class DeliveryViewSet(mixins.ListModelMixin, TenantViewSet):
    """What a webhook was sent, and what became of it; the newest first. Kept for 30 days."""

    queryset = WebhookDelivery.objects.select_related("webhook").defer(
        "webhook__secret", "webhook__previous_secret"
    )
    serializer_class = serializers.DeliverySerializer
    filterset_class = DeliveryFilter
    ordering_fields = ["id"]
    keyset = True
    lookup_url_kwarg = "delivery_id"
    permissions = {"list": "read:webhook", "replay": "write:webhook"}

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        found = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return found
        webhook: Webhook = Webhook.objects.only("id").named(self.actor, self.kwargs["pk"])
        return found.filter(webhook_id=webhook.pk)

    @extend_schema(
        request=None, parameters=[WEBHOOK_ID, DELIVERY_ID], responses={202: serializers.DeliverySerializer}
    )
    def replay(self, request: Request, pk: str, delivery_id: str) -> Response:
        """Send a message again

        Under the same `webhook-id`, now, and with all retries before it. One of a disabled webhook answers 409.
        """
        delivery = editing.replay(self.get_object())
        return Response(serializers.DeliverySerializer(delivery).data, status=202)
