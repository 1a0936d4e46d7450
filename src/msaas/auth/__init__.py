"""Who may do what, and how much of it: keys, tenants, quotas, headers. Off as long as nobody sets a key or a limit.

keys, origins, needs, tickets    no I/O
quotas                           Redis (its scripts are in queue/lua)
gate, headers                    Flask: the one place where a request is let in or refused
"""
