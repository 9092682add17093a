"""What stage `evaluate` is made of: figures that merge, TFMA around them, comparisons, gates, and images worth seeing."""
