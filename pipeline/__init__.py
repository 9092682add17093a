"""The pipeline: its DAG, the engine that plans and runs stages, the store, the lineage, and the commands."""
