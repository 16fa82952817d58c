"""Common parts of all commands: settings and flags, processes, locks, and records of how a value was measured."""
