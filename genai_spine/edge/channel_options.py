"""Options of the gRPC server: sizes of messages and headers, and what keeps connections alive."""

MAX_MESSAGE_BYTES = 40 << 20  # bytes; above Envoy's limit of 32 MiB, so that Envoy's clear 413 comes first
MAX_ANSWER_BYTES = 128 << 20  # bytes; ten images in base64; Envoy's max_response_body_size is the same
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_ANSWER_BYTES),
    ("grpc.so_reuseport", 0),  # two servers on one port would each get some of the connections
    # A stream may be silent for minutes while a model thinks: pings keep it alive, and clients may ping.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    # Above Envoy's 32 KiB of headers, to which it adds some: what it lets in is not refused here.
    ("grpc.max_metadata_size", 64 << 10),
    ("grpc.absolute_max_metadata_size", 128 << 10),
]
