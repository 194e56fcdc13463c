"""Workflows as documents: read, checked, drawn, published, and compiled to LangGraph graphs."""
