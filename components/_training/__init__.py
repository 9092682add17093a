"""Training loop, batches, SavedModel export and model fingerprints."""
