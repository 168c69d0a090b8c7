"""Groups to kernels: loops over memory that has a place, in an order; the loop IR that code is emitted from."""
