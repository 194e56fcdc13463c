from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0006_knowledge"),
    ]

    operations = [
        migrations.AlterField(
            model_name="version",
            name="change",
            field=models.CharField(
                db_comment="created, updated, restored, deleted, or tried and never saved",
                max_length=16,
                verbose_name="change",
            ),
        ),
    ]
