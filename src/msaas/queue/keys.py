"""The names of the queue's keys in Redis. What each holds is described in lua/common.lua."""

WAITING = "toWorkers"
PROCESSING = "toWorkers:processing"
LEASES = "toWorkers:leases"
DEAD = "toWorkers:dead"
FENCE = "toWorkers:fence"
PACE = "toWorkers:pace"
MODELS = "models"
EVENTS = "events"
KEYS = (WAITING, PROCESSING, LEASES, DEAD, FENCE, PACE)
