"""The gateway: OpenAI's wire format around the path."""
