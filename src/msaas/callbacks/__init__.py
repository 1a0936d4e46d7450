"""Callbacks: told when a job ends, signed, tried for three days, never sent to where a stranger must not reach.

queue/lua/callbacks/outbox.lua notes them; `outbox` holds them, `targets` and `addresses` say where they may go,
`http_post` goes there, `schedule` says when again, `sender` is the thread that does it all. Knows neither torch nor
Flask.
"""
