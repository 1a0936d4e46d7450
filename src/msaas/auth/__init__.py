"""Access control: keys, tenants, quotas, headers. Off unless keys or limits are set.

keys, origins, scopes, tickets     no I/O
quotas                             Redis (scripts in queue/lua/quotas)
access_control, security_headers   Flask: where requests are admitted or rejected
"""
