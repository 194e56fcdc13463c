"""The routes of MCP servers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api import filters, mcp_serializers, representations
from agents.api.views import ConfigurationViewSet, permissions_for
from agents.mcp import rules
from agents.mcp.discovery import discover
from agents.models import Version


class McpServerViewSet(ConfigurationViewSet):
    """Servers of the Model Context Protocol, whose tools agents can call.

    A server of the transport `stdio` is a process that the platform starts, so writing one needs
    `write:mcp-command` besides.
    """

    queryset = representations.mcp_servers
    serializer_class = mcp_serializers.McpServerSerializer
    filterset_class = filters.McpServerFilter
    permissions = permissions_for("mcp-server", discover="test:mcp-server")

    def check_restorable(self, version: Version) -> None:
        for permission in rules.permissions_to_restore(version):
            self.actor.require(permission)

    @extend_schema(request=mcp_serializers.DiscoverSerializer, responses=mcp_serializers.DiscoverySerializer)
    @action(detail=True, methods=["post"])
    def discover(self, request: Request, **kwargs: Any) -> Response:
        """Discover an MCP server's tools

        Connects to the server, lists its tools and stores what it found and how it went. With `import`, tools
        are created or changed from what it lists, which needs `write:tool`. Tools that are gone at the server
        are told and stay.
        """
        body = self.body_of(mcp_serializers.DiscoverSerializer)
        if body["import"] != []:
            self.actor.require("write:tool")
        found = discover(self.get_object(), self.actor, body["import"], body["prefix"])
        return Response(mcp_serializers.DiscoverySerializer(found).data)
