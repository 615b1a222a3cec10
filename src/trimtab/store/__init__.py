"""Storage that stages share: one database, its tables, migrations and group-committing writer."""
