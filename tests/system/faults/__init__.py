"""Real parts taken away under a steady load; each test is a row of the table in docs/operating.md."""
