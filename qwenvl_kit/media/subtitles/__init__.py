"""Subtitles: files of SubRip, WebVTT and SubStation, and text tracks of films, read into lines."""
