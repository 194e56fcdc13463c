"""Indexes that lists of the audit log are filtered and searched by."""

from django.db import migrations, models

from agentplatform.lib.migrations import EnsureIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("accounts", "0008_saved_filters"),
    ]

    operations = [
        EnsureIndexConcurrently(
            model_name="auditentry",
            index=models.Index(fields=["workspace", "action", "id"], name="audit_of_action"),
        ),
        EnsureIndexConcurrently(
            model_name="auditentry",
            index=models.Index(
                condition=models.Q(("outcome", "succeeded"), _negated=True),
                fields=["workspace", "outcome", "id"],
                name="audit_of_outcome",
            ),
        ),
        EnsureIndexConcurrently(
            model_name="auditentry",
            index=models.Index(
                condition=models.Q(("via", "api"), _negated=True),
                fields=["workspace", "via", "id"],
                name="audit_of_way",
            ),
        ),
        EnsureIndexConcurrently(
            model_name="auditentry",
            index=models.Index(
                condition=models.Q(("request_id", ""), _negated=True),
                fields=["request_id"],
                name="audit_of_request",
            ),
        ),
        EnsureIndexConcurrently(
            model_name="auditentry",
            index=models.Index(
                condition=models.Q(("subject_id__isnull", False)),
                fields=["subject_id"],
                name="audit_of_subject",
            ),
        ),
    ]
