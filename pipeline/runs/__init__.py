"""One run from configuration to outcome; hyperparameter search, schema drafts and approvals."""
