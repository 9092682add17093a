"""Components, the plan, cache keys and the runner. Independent of images."""
