"""Messages, and the parts that they hold."""
