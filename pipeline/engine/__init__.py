"""Components, the plan, cache keys and the runner. Knows nothing of images."""
