"""A Scai platform on this machine: made-up data, real protocols, for `scailookup demo`.

`run.run` starts it with the real service in front, in one process and one loop.
Nothing here is meant for anything but a demonstration or a test.
"""
