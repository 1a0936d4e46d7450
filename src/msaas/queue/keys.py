"""The names of the queue's Redis keys. Their contents are described in lua/jobs/common.lua."""

WAITING = "toWorkers"
PROCESSING = "toWorkers:processing"
LEASES = "toWorkers:leases"
DEAD = "toWorkers:dead"
FENCE = "toWorkers:fence"
PACE = "toWorkers:pace"
MODELS = "models"
EVENTS = "events"
KEYS = (WAITING, PROCESSING, LEASES, DEAD, FENCE, PACE)

# Songs to fetch wait in a list of their own. Dead letters and the fence are shared.
FETCHES = "toFetchers"
FETCH_KEYS = (FETCHES, f"{FETCHES}:processing", f"{FETCHES}:leases", DEAD, FENCE, f"{FETCHES}:pace")

# Batches wait in a list of their own until their songs have ended.
BATCHES = "batches"
BATCH_KEYS = (BATCHES, f"{BATCHES}:processing", f"{BATCHES}:leases", DEAD, FENCE, f"{BATCHES}:pace")

# Mixes of a song's stems wait in a list of their own.
MIXES = "toMixers"
MIX_KEYS = (MIXES, f"{MIXES}:processing", f"{MIXES}:leases", DEAD, FENCE, f"{MIXES}:pace")
