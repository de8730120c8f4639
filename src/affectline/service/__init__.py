"""The service: an HTTP API, a page to drop videos on, and live mode over a WebSocket."""
