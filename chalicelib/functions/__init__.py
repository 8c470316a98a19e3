"""What Lambda runs besides HTTP: the worker, the dead letters, the sweeper."""
