"""A person's data: what there is of them in a workspace, given to them as a file, and erased.

`content` lists it for both. What a new table holds of a person has to be added there.
"""
