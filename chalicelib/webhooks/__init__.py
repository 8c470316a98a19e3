"""Webhooks: tell an owner's own server that an order has ended, as Standard Webhooks describes.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""
