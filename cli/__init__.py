"""`python -m cli`: Orderline on a laptop and on its way to AWS. Never in the Lambda package."""
