"""What training does beside its step: settings, checks, states, logs, and what happens once an epoch."""


class TrainingError(Exception):
    """Training cannot start or continue. The message says why and what to do."""
