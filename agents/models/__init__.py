"""What an agent is: models, tools, agents, workflows, MCP servers, knowledge bases, and versions of what has any."""

from agents.models.agents import Agent
from agents.models.chat_models import ChatModel, Fallback, Input
from agents.models.configurations import Configuration, Kind, Secret, Version, name_validator
from agents.models.knowledge import Chunk, ChunkVector, Document, KnowledgeBase
from agents.models.mcp_servers import McpServer
from agents.models.tools import Tool
from agents.models.workflows import Workflow

__all__ = [
    "Agent",
    "ChatModel",
    "Chunk",
    "ChunkVector",
    "Configuration",
    "Document",
    "Fallback",
    "Input",
    "Kind",
    "KnowledgeBase",
    "McpServer",
    "Secret",
    "Tool",
    "Version",
    "Workflow",
    "name_validator",
]
