"""`make verify-aws`: deploy a separate stack, check and measure it, and delete it."""
