"""The line: its DAG, how stages are planned, run and remembered, and the commands."""
