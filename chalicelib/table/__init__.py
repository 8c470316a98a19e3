"""The orders table in DynamoDB: one module per index, and one for the writes."""
