"""The tasks that come with Orderline. `examples: false` in orderline.yaml leaves them out."""
