"""The commands, thin: each reads its options, calls what does the work, and shows what came of it."""
