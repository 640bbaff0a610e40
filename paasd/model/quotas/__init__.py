"""Quotas: what organizations and spaces may use, enforced in the transaction of what uses it.

`arithmetic` says no (pure), `usage` counts rows, `accounting` is what operations that make something run stand in,
`definitions` and `applying` are the operations on quotas themselves.
"""
