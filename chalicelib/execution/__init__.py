"""What it takes to run a task: its declaration, its input, its context, its time."""
