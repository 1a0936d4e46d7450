"""A Model Context Protocol server for agents, on top of msaas.client. Needs the extra [mcp]."""
