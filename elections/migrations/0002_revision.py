"""The sequence that orders changes of elections."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("elections", "0001_initial")]

    operations = [
        migrations.RunSQL("CREATE SEQUENCE elections_revision", "DROP SEQUENCE elections_revision"),
    ]
