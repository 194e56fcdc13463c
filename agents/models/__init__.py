"""What an agent is: models, tools, agents, workflows, MCP servers, their secrets, and the immutable versions of all."""

from agents.models.agents import Agent
from agents.models.chat_models import ChatModel, Fallback, Input
from agents.models.configurations import Configuration, Kind, Secret, Version, name_validator
from agents.models.mcp_servers import McpServer
from agents.models.tools import Tool
from agents.models.workflows import Workflow

__all__ = [
    "Agent",
    "ChatModel",
    "Configuration",
    "Fallback",
    "Input",
    "Kind",
    "McpServer",
    "Secret",
    "Tool",
    "Version",
    "Workflow",
    "name_validator",
]
