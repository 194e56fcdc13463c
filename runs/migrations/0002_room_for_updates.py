"""Leaves room on each page of the runs' table: a run is updated by every flush, and updates stay on its page."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("runs", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE runs_run SET (fillfactor = 70)", "ALTER TABLE runs_run RESET (fillfactor)"
        )
    ]
