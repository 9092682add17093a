"""Parts of stage `evaluate`: metrics as mergeable sums, TFMA around them, comparisons, gates, and a gallery."""
