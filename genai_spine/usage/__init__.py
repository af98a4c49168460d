"""Usage and spend of a tenant: reports, and files of them."""
