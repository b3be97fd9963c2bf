"""The config: schema, checks, and frozen dataclasses."""
