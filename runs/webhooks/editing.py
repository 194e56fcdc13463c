"""What people do with webhooks: make and change them, change their secret, test them, and send messages again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib import webhook_signing as signing
from agentplatform.lib.addresses import OutboundRefused, check_url
from agentplatform.lib.errors import Conflict, Invalid, NotFound
from agentplatform.lib.housekeeping import remove
from runs.models import Webhook, WebhookDelivery
from runs.webhooks import outbox

# How long messages are signed with the secret before, too.
OLD_SECRET_VALID = timedelta(hours=24)


def create(actor: Actor, values: Mapping[str, Any]) -> Webhook:
    """A new webhook with a secret of its own. Raises Invalid (`url`)."""
    webhook = Webhook(workspace_id=actor.workspace_id, secret=signing.new_secret())
    with transaction.atomic():
        _save(webhook, values)
        audit.created(webhook, actor=actor)
    return webhook


@transaction.atomic
def change(webhook: Webhook, values: Mapping[str, Any]) -> Webhook:
    """Writes `values`, attributes by name. Whoever enables it gives it another chance. Raises Invalid (`url`)."""
    locked = _locked(webhook)
    before = audit.fingerprint_of(locked)
    _save(locked, values)
    audit.updated(locked, before)
    return locked


def delete(webhook: Webhook) -> None:
    """Deletes it with its messages. Runs that it would be told of wait for the last step only, which is short."""
    change(webhook, {"enabled": False})
    while remove(webhook.deliveries.all()):
        pass
    with transaction.atomic():
        if (found := Webhook.objects.select_for_update().filter(pk=webhook.pk).first()) is not None:
            audit.deleted(found)
        webhook.delete()


@transaction.atomic
def rotate_secret(webhook: Webhook) -> Webhook:
    """Gives it a new secret. For OLD_SECRET_VALID messages carry the signatures of both."""
    webhook = _locked(webhook)
    webhook.previous_secret, webhook.previous_until = webhook.secret, timezone.now() + OLD_SECRET_VALID
    webhook.secret = signing.new_secret()
    webhook.save(update_fields=["secret", "previous_secret", "previous_until", "updated_at"])
    audit.record(Action.SECRET_CHANGED, audit.thing(webhook))
    return webhook


@transaction.atomic
def send_test(webhook: Webhook) -> WebhookDelivery:
    """Sends it a message about nothing. Raises Conflict while it is disabled."""
    _require_enabled(webhook)
    audit.record(Action.TESTED, audit.thing(webhook))
    return outbox.add(webhook, outbox.TEST, {"message": f"This is a test of the webhook {webhook.name!r}."})


@transaction.atomic
def replay(delivery: WebhookDelivery) -> WebhookDelivery:
    """Sends a message again, under the same id, with all retries before it. Raises Conflict while it is disabled."""
    _require_enabled(delivery.webhook)
    found = WebhookDelivery.objects.select_for_update().get(pk=delivery.pk)
    found.status, found.retries, found.finished_at = WebhookDelivery.Status.PENDING, 0, None
    found.next_attempt_at = timezone.now() + outbox.LEASE
    found.save(update_fields=["status", "retries", "finished_at", "next_attempt_at"])
    outbox.wake(found.pk, found.webhook_id, found.attempts)
    return found


def _locked(webhook: Webhook) -> Webhook:
    """The row as it is now, in nobody else's hands. Raises NotFound where somebody else has deleted it."""
    found: Webhook | None = Webhook.objects.select_for_update(no_key=True).filter(pk=webhook.pk).first()
    if found is None:
        raise NotFound("Webhook", webhook.pk)
    return found


def _save(webhook: Webhook, values: Mapping[str, Any]) -> Webhook:
    for name, value in values.items():
        setattr(webhook, name, value)
    if "url" in values:
        _check(webhook.url)
    if values.get("enabled"):
        webhook.disabled_reason, webhook.failing_since = "", None
    webhook.save()
    # Seen at once in this process, and in others within moments.
    transaction.on_commit(outbox.forget)
    return webhook


def _check(url: str) -> None:
    """Raises Invalid for a URL that could never be used."""
    try:
        check_url(url)
    except OutboundRefused as error:
        raise Invalid({"url": str(error)}) from error


def _require_enabled(webhook: Webhook) -> None:
    if not webhook.enabled:
        raise Conflict("The webhook is disabled. Enable it first.")
