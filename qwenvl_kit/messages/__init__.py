"""Messages and their parts: text, pictures, videos, documents, tool calls and thoughts."""
