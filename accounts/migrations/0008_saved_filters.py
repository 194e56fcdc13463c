import agentplatform.lib.ids
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_provider_accounts"),
    ]

    operations = [
        migrations.CreateModel(
            name="SavedFilter",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=agentplatform.lib.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "page",
                    models.CharField(
                        db_comment="Label of the model whose list it is, as runs.run", max_length=100
                    ),
                ),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                (
                    "query",
                    models.CharField(db_comment="Of the list's address, without the page", max_length=1000),
                ),
                (
                    "is_shared",
                    models.BooleanField(
                        db_comment="With all members of the workspace", default=False, verbose_name="shared"
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="saved_filters",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.workspace",
                        verbose_name="workspace",
                    ),
                ),
            ],
            options={
                "verbose_name": "saved filter",
                "verbose_name_plural": "saved filters",
                "db_table_comment": "Filters of the admin's lists that people have saved",
                "ordering": ["name", "id"],
                "indexes": [models.Index(fields=["user"], name="saved_filter_of_user")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("workspace", "page", "user", "name"), name="saved_filter_once"
                    )
                ],
            },
        ),
    ]
