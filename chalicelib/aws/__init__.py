"""Calls to AWS: signed by the app itself in Lambda (sigv4), through botocore elsewhere (boto)."""
