"""A Docker Swarm of one or two nodes on this machine, with DNS and a certificate authority.

Each node is a Docker daemon in namespaces of its own. Images are made of what package registries
have, since no image registry is needed. By hand:

    python -m tests.swarm.lab up --nodes 2
    python -m tests.swarm.lab down
"""

from .images import Images, missing
from .lab import Lab, Node, opened

__all__ = ["Images", "Lab", "Node", "missing", "opened"]
