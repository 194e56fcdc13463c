"""The platform as an MCP server: agents and published workflows are tools, and each call of one is a run.

Streamable HTTP at `/mcp`, by the official SDK, which is imported with the first request. Nothing is kept between
requests, so any web process may answer any of them:

- `views.py` lets a request in: credentials, permission, origin, rate; then hands it to the SDK.
- `exchange.py` is the bridge between Django's request and response and the SDK's ASGI application.
- `server.py` is the server as the SDK has it, one for each request, in its caller's name.
- `tools.py` says what there is to call, and what run a call asks for.
- `calls.py` starts that run, follows it, tells its progress, and says what it has come to.
- `cancelling.py` finds the run of a call that its client takes back in another request.
"""
