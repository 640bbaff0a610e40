"""Tests of the API: a real server, real state, real clients."""
