"""Give every test of the project the test kit, wherever it is. docs/testing.md describes it."""

pytest_plugins = ["testkit.plugin"]
