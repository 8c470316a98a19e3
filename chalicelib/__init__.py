"""Orderline's own code. The handlers in app.py only call into this package."""
