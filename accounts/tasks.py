"""What this room does beside requests: credentials that have ended are removed, and the audit log is sealed."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts.audit.sealing import AUDIT_LOG
from accounts.models import Ticket
from accounts.security import SecurityEvent, delivery
from agentplatform.lib import queue
from agentplatform.lib.hash_chain import seal_next
from agentplatform.lib.housekeeping import chore, remove
from agentplatform.lib.ids import first_uuid7_at
from agentplatform.lib.outboxes import outbox

# Clocks of machines differ: a used token that is forgotten must have expired for all of them.
CLOCKS_DIFFER = timedelta(hours=1)


@outbox
def seal_audit_log() -> bool:
    """Entries of the audit log, in the order in which they were committed, more or less."""
    return seal_next(AUDIT_LOG)


@outbox
def send_security_events() -> bool:
    """Wakes who delivers them."""
    return delivery.wake_due()


@queue.task(name=delivery.DELIVER, queue=delivery.QUEUE)
async def deliver_security_event(event_id: str, attempts: int) -> None:
    """Makes an attempt to deliver a security event to SECURITY_WEBHOOK_URL."""
    await delivery.deliver(uuid.UUID(event_id), attempts)


@chore
def remove_old_security_events() -> bool:
    """After SECURITY_EVENTS_KEPT_DAYS."""
    oldest = timezone.now() - timedelta(days=settings.SECURITY_EVENTS_KEPT_DAYS)
    return remove(SecurityEvent.objects.filter(pk__lt=first_uuid7_at(oldest)))


@chore
def remove_expired_refresh_tokens() -> bool:
    """Used ones go with them: an expired token is refused without being remembered."""
    return remove(OutstandingToken.objects.filter(expires_at__lt=timezone.now() - CLOCKS_DIFFER))


@chore
def remove_expired_tickets() -> bool:
    """Those that nobody used; a used one is removed by its use."""
    return remove(Ticket.objects.filter(expires_at__lt=timezone.now()))


@chore
def remove_expired_sessions() -> bool:
    """Of people in the admin."""
    return remove(Session.objects.filter(expire_date__lt=timezone.now()))
