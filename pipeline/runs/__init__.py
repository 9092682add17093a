"""One run from configuration to outcome, and what else a person starts: tune, schema draft, approvals."""
