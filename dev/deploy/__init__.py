"""`make deploy`: create, update and delete stacks on AWS."""
