"""Trust borders: certificates of our listeners, secrets in files, fetching of addresses that callers give."""
