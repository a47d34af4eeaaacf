"""Media: the only room that opens files and decodes pictures, videos and documents."""
