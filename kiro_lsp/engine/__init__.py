"""The engine layer: runs, their isolation, review and apply. Faces import from here.

It does not know editors, terminals or HTTP, and it holds no state that the store could not give back.
"""
