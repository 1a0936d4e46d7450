"""Callbacks: signed notifications at a job's end, retried for three days, never sent to internal addresses.

queue/lua/callbacks/outbox.lua adds them; `outbox` stores them, `targets` and `addresses` decide where they may go,
`http_post` sends them, `schedule` decides on retries, `sender` is the thread that runs it all. Uses neither torch nor
Flask.
"""
