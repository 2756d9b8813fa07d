"""The reports page: schedules, runs, and their files."""
