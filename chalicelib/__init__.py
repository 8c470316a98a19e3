"""Orderline's own code. app.py holds the triggers; what each of them calls is here."""
