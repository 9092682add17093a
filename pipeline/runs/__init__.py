"""Runs from configuration to outcome, hyperparameter search, drafts of configurations and contracts, approvals."""
