"""What training does beside its step: states, logs, and what happens once an epoch."""
