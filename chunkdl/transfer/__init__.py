"""Moving byte ranges into part files as the scheduler decides."""
