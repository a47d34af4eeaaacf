"""Token counts, image sizes and the costs of a request: pure arithmetic on sizes."""
