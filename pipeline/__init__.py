"""The pipeline: its DAG, the engine that plans and runs stages, the store, the lineage, and the commands."""

from pathlib import Path

DEFAULT_ROOT = Path("gateline")  # of commands and of the Python API
DATABASE_VARIABLE = "GATELINE_DATABASE"  # the environment variable of the option --database
