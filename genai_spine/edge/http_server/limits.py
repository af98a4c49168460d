"""Limits of the HTTP server: sizes and times, the same as Envoy's where it has them (envoy.yaml)."""

MAX_BODY_BYTES = 32 << 20
MAX_HEAD_BYTES = 32 << 10  # request line and headers; Envoy adds some to its 32 KiB, see TOLERANCE_BYTES
TOLERANCE_BYTES = 4 << 10
MAX_HEADERS = 128
MAX_CONNECTIONS = 20_000
HEAD_S = 15.0  # for the head of a request, from its first byte
REQUEST_S = 300.0  # for all of a request
IDLE_S = 300.0  # of a connection without a request; Envoy's own end before that
STALL_S = 600.0  # of a caller who reads nothing of an answer
LINGER_S = 2.0  # in which a caller may read an answer after which the connection closes
MAX_LINGER_BYTES = 1 << 20  # that are read, and dropped, meanwhile
WRITE_BUFFER_BYTES = 64 << 10  # of an answer, not sent yet, above which its stream waits
MAX_EARLY_BYTES = 16 << 10  # of a caller who sends frames before its WebSocket is open
