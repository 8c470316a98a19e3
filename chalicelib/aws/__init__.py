"""Calls to AWS: signed here in Lambda (sigv4), through botocore elsewhere (boto)."""
