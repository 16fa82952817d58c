"""What all commands share: flags, processes, locks, records of how a value came about."""
