"""What only Orderline's own tests need, beside the test kit that everybody may use (testkit/)."""
