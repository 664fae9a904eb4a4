"""Servers, weather-like files and announcements for the demo, the integration tests and the
benchmark."""
