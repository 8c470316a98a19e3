"""Running a task: its declaration, signature, context and time limit."""
