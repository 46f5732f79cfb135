"""The private console of one backpack: what a developer's panel sees of it and changes in it.

A console is no user. Rules do not hold it back, and what it changes is announced as rules have it.
"""
