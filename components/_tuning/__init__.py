"""Hyperparameter search with keras-tuner."""
