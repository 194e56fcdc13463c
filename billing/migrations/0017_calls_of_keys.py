"""Indexes that find an API key's groups and calls by its name."""

from django.db import migrations, models

from agentplatform.lib.migrations import EnsureIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("billing", "0016_calls_that_are_open")]

    operations = [
        EnsureIndexConcurrently(
            model_name="usagegroup",
            index=models.Index(
                fields=["workspace", "cut", "api_key_name"],
                condition=models.Q(api_key_name__isnull=False),
                name="usage_group_api_key_name",
            ),
        ),
        EnsureIndexConcurrently(
            model_name="usagerecord",
            index=models.Index(
                fields=["workspace", "api_key_name", "timestamp"],
                condition=models.Q(entry="settled", api_key_name__isnull=False),
                name="usage_of_api_key",
            ),
        ),
    ]
