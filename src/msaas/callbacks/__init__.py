"""Callbacks: told when a job ends, signed, tried for three days, never sent to where a stranger must not reach.

queue/lua/outbox.lua notes them; `outbox` holds them, `targets` and `addresses` say where they may go, `dial` goes
there, `schedule` says when again, `sender` is the thread that does it all. Knows no torch and no Flask.
"""
