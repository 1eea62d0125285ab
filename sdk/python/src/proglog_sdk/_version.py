"""The version of this SDK, which it tells the server."""

__version__ = "0.1.0"
