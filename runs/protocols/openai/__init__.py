"""Agents behind OpenAI's chat API, so that any client of it can ask one: `/v1/models`, `/v1/chat/completions`.

A completion is a run like any other, whose input is the whole conversation that was sent. Besides this folder there
are the route in `agentplatform/urls.py` and `OpenAIErrorsMiddleware` in `agentplatform/middleware.py` and the settings.
"""
