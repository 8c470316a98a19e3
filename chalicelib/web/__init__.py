"""HTTP only: requests in, answers out. Everything below knows orders and errors; nothing below knows a status code."""
