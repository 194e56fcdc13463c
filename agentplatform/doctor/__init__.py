"""`manage.py doctor`: looks at an installation and says what to mend. A module per topic, each a few checks."""
