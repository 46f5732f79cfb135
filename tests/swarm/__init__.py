"""Tests on a real Docker Swarm, which `lab` makes on this machine."""
