"""SWIM with Lifeguard, pure: datagrams and the clock in, effects out. It owns no task, no socket and no clock.

`core.py` is one node; the rest are its parts, each with one idea: who is a member, how long to wait, whom to believe.
"""
