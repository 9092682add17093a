"""Gates, measured: how often they push a model that is worse, and refuse one that is not."""
