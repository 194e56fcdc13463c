"""Indexes by which a user's and a session's entries are found. They are made beside what is being written."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("billing", "0007_rollups")]

    operations = [
        AddIndexConcurrently(
            "usagerecord",
            models.Index(
                fields=["workspace", "user_id", "timestamp"],
                condition=models.Q(entry="settled"),
                name="usage_of_user",
            ),
        ),
        AddIndexConcurrently(
            "usagerecord",
            models.Index(
                fields=["session_id", "timestamp"],
                condition=models.Q(entry="settled", session_id__isnull=False),
                name="usage_of_session",
            ),
        ),
    ]
