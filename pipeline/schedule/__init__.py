"""The scheduler, its cron arithmetic, its child processes and its health endpoint."""
