"""The Lambda functions beside HTTP: worker, dead letters and sweeper."""
