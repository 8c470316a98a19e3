"""AWS's limits, as its pages state them. Each is a default that an account may have changed."""

from __future__ import annotations

# Write and read units a second of one partition, of a table or of an index:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
PARTITION_WRITES = 1000
# What a new on-demand table, and each of its indexes, takes at once:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput.html
NEW_TABLE_WRITES = 4000
NEW_TABLE_READS = 12_000
# It takes up to double its former peak, and adapts within this time:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
ADAPT_S = 30 * 60
# Of any on-demand table and of each of its indexes; adjustable:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
TABLE_QUOTA = 40_000
# Requests a second of an account and region, and the size of its bucket; the first is adjustable:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
# https://repost.aws/knowledge-center/api-gateway-throttling
GATEWAY_QUOTA = 10_000
GATEWAY_BURST = 5000
# Concurrent executions of an account and region; adjustable. Requests a second are ten times that:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
LAMBDA_QUOTA = 1000
REQUESTS_PER_EXECUTION = 10
# New execution environments of each function: this many in ten seconds, refilled all the time:
# https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html
NEW_ENVIRONMENTS = 1000
NEW_ENVIRONMENTS_PER_S = 100
# Concurrent invocations of a standard queue's mapping: at first, more a second, and at most:
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
FIRST_INVOCATIONS = 5
INVOCATIONS_PER_S = 5  # 300 a minute
MAX_INVOCATIONS = 1250
# With `MaximumConcurrency` (the same page)
MAX_CONCURRENCY = 1000
# In provisioned mode: invocations of one poller, its calls to SQS a second, more invocations a
# minute, and at most. We assume that a call receives no more than a batch.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
# https://aws.amazon.com/blogs/aws/aws-lambda-enhances-sqs-processing-with-new-provisioned-mode-3x-faster-scaling-16x-higher-capacity
INVOCATIONS_PER_POLLER = 10
RECEIVES_PER_POLLER = 10
PROVISIONED_INVOCATIONS_PER_MINUTE = 1000
MAX_PROVISIONED_INVOCATIONS = 20_000
# `MinimumPollers` is at most this:
# https://docs.aws.amazon.com/lambda/latest/api/API_ProvisionedPollerConfig.html
MAX_MINIMUM_POLLERS = 200
# Messages of a standard queue that are received and not yet deleted, hidden ones included:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
IN_FLIGHT = 120_000
# Entries of one SendMessageBatch:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
SEND_BATCH = 10
# Messages of one ReceiveMessage:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
RECEIVE_BATCH = 10
