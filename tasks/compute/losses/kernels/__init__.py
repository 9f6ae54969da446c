"""The inner loops of the losses, compiled by numba. They release the GIL and share no memory.

The compiled functions do without jaxtyping, which numba cannot read. Whatever decides an assignment
is float32 and in the order of operations of the stock criterion; sums are float64.
"""
