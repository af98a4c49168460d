"""Bytes of an exchange: events written as a stream, bodies coded, and the distortions of both."""

import gzip
import json
import zlib

from tests.upstreams.sloppy.exchange import Exchange, Table, entry

SSE: Table = {}
HTTP: Table = {}
TYPES = {"sse": "text/event-stream", "json": "application/json"}


def sse_body(x: Exchange) -> bytes:
    """Body as server-sent events, or as one JSON value."""
    if not x.as_stream:
        return b"\xef\xbb\xbf" * x.framing.bom + whole_text(x).encode()
    framing, end = x.framing, x.framing.line_end
    blocks = []
    for event in [*x.events, *([framing.done] if framing.done else ())]:
        lines = [f":{framing.space}still here"] if framing.comments and x.rng.random() < 0.5 else []
        if lines and x.rng.random() < 0.5:
            lines.append("")
        if framing.names:
            name = event.get("type", "message") if isinstance(event, dict) else "message"
            lines.append(f"event:{framing.space}{name}")
        if framing.fields:
            lines += ["id: 7", "retry: 1000"]
        text = event if isinstance(event, str) else x.dump(event)
        if framing.several_lines and isinstance(event, dict):
            text = json.dumps(event, ensure_ascii=x.ascii, indent=1)
        lines += [f"data:{framing.space}{line}" for line in text.split("\n")]
        if framing.empties and x.rng.random() < 0.5:
            lines = ["data:", "", *lines]
        blocks.append(end.join(lines))
    text = (end * 2).join(blocks) + ("" if framing.unended else end * 2)
    return b"\xef\xbb\xbf" * framing.bom + text.encode("utf-8", "surrogatepass")


def whole_text(x: Exchange) -> str:
    if isinstance(x.whole, str):
        return x.whole
    return json.dumps(x.whole, ensure_ascii=x.ascii, indent=2) if x.framing.several_lines else x.dump(x.whole)


def response(x: Exchange, body: bytes, target: str) -> list[bytes]:
    """What is written to the connection, in the pieces of x.transport."""
    transport, kind = x.transport, x.transport.media_type
    if transport.redirect and not target.endswith("hop=1"):
        there = f"{target}{'&' if '?' in target else '?'}hop=1"
        return [
            f"HTTP/1.1 {transport.redirect} Moved\r\nlocation: {there}\r\ncontent-length: 0\r\n\r\n".encode()
        ]
    if transport.coding:
        body = _coded(body, transport.coding)
    lines = [f"HTTP/1.1 {transport.status} X"]
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if transport.coding:
        lines.append(f"content-encoding: {'gzip' if transport.coding == 'gzip' else 'deflate'}")
    if transport.length == "content-length":
        lines.append(f"content-length: {len(body) + 9 * transport.cut}")
    elif transport.length == "chunked":
        lines.append("Transfer-Encoding: chunked")
    else:
        lines.append("connection: close")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    parts = _parts(x, body) if transport.split else [body]
    if transport.length != "chunked":
        return [head, *parts]
    ended = [] if transport.cut or transport.stays_open else [b"0\r\n\r\n"]
    return [head, *(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part), *ended]


def _coded(body: bytes, coding: str) -> bytes:
    if coding == "gzip":
        return gzip.compress(body, 1)
    if coding == "deflate":
        return zlib.compress(body, 1)
    raw = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    return raw.compress(body) + raw.flush()


def _parts(x: Exchange, body: bytes) -> list[bytes]:
    """The body cut anywhere, in the middle of characters and line ends too."""
    cuts = sorted(x.rng.sample(range(1, len(body)), min(len(body) - 1, x.rng.randint(2, 9)))) if body else []
    return [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]


@entry(SSE)
def crlf(x: Exchange) -> bool:
    x.framing.line_end = "\r\n"
    return x.as_stream


@entry(SSE)
def no_space_after_data(x: Exchange) -> bool:
    x.framing.space = ""
    return x.as_stream


@entry(SSE)
def comments(x: Exchange) -> bool:
    x.framing.comments = True
    return x.as_stream


@entry(SSE)
def event_names(x: Exchange) -> bool:
    x.framing.names = not x.framing.names
    return x.as_stream


@entry(SSE)
def ids_and_retry_times(x: Exchange) -> bool:
    x.framing.fields = True
    return x.as_stream


@entry(SSE)
def empty_data(x: Exchange) -> bool:
    x.framing.empties = True
    return x.as_stream


@entry(SSE)
def several_data_lines(x: Exchange) -> bool:
    x.framing.several_lines = True
    return True


@entry(SSE)
def byte_order_mark(x: Exchange) -> bool:
    x.framing.bom = True
    return True


@entry(SSE, "done")
def done_is_missing(x: Exchange) -> bool:
    if "finish_is_missing" in x.fired:  # one of the two tells the end
        return False
    missing = x.framing.done is not None and x.as_stream
    x.framing.done = None
    return missing


@entry(SSE, "done")
def done_is_odd(x: Exchange) -> bool:
    if not x.framing.done:
        return False
    x.framing.done = x.rng.choice(["DONE", '"[DONE]"', "[DONE]  "])
    return x.as_stream


@entry(SSE)
def last_event_is_not_ended(x: Exchange) -> bool:
    x.framing.unended = x.as_stream and not x.transport.cut
    return x.framing.unended


@entry(HTTP, "coding")
def coded_gzip(x: Exchange) -> bool:
    x.transport.coding = "gzip"
    return True


@entry(HTTP, "coding")
def coded_deflate(x: Exchange) -> bool:
    x.transport.coding = "deflate"
    return True


@entry(HTTP, "coding")
def coded_raw_deflate(x: Exchange) -> bool:
    x.transport.coding = "raw"
    return True


@entry(HTTP)
def bytes_split_anywhere(x: Exchange) -> bool:
    x.transport.split = True
    return True


@entry(HTTP)
def stays_open_after_the_end(x: Exchange) -> bool:
    whole = not x.as_stream or x.failed or x.transport.coding or x.framing.unended
    if not x.counts.known and x.rng.random() < 0.8:  # usage is waited for, for seconds
        return False
    x.transport.stays_open = x.stream and not whole
    return x.transport.stays_open


@entry(HTTP, "length")
def ended_by_the_connection(x: Exchange) -> bool:
    if x.transport.stays_open or x.transport.cut:
        return False
    x.transport.length = "close"
    return True


@entry(HTTP, "length")
def length_in_advance(x: Exchange) -> bool:
    if x.transport.stays_open or x.transport.cut:
        return False
    x.transport.length = "content-length"
    return True


@entry(HTTP)
def redirected(x: Exchange) -> bool:
    x.transport.redirect = x.rng.choice([307, 308])
    return True


@entry(HTTP)
def another_media_type(x: Exchange) -> bool:
    x.transport.media_type = x.rng.choice([None, "text/plain", "application/octet-stream", *TYPES.values()])
    return True
