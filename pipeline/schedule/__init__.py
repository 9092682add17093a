"""The scheduler: cron arithmetic, child processes, state, and the health endpoint."""
