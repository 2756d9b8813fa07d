"""PostgreSQL: tables, repositories, unit of work, and the embedded server."""
