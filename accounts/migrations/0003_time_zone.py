import agentplatform.lib.time_zones
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_run_limits"),
    ]

    operations = [
        migrations.AddField(
            model_name="workspace",
            name="time_zone",
            field=models.CharField(
                db_comment="Name as in the IANA database; in which days and months of budgets and reports begin",
                db_default="UTC",
                default="UTC",
                max_length=64,
                validators=[agentplatform.lib.time_zones.validate_time_zone],
                verbose_name="time zone",
            ),
        ),
    ]
