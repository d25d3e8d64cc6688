"""These need RabbitMQ and Jupyter Server: `tox -e strangers` has them, and nothing else runs them."""

import os

collect_ignore_glob = [] if os.environ.get("STRANGERS") else ["test_*.py"]
