"""Records as the JSON of the v3 API, many at a time.

A presenter takes a view (snapshot, addresses, caller) and rows, and reads what belongs to all of them in few queries.
Nothing here writes, and nothing decides who may see a row: that is done before.
"""
