"""Parser of multipart/form-data bodies (RFC 7578), which Envoy passes on as they came."""

from collections import defaultdict
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from genai_spine.errors import InvalidRequest

MAX_PARTS = 200
MAX_TEXT_BYTES = 1 << 20  # bytes, of a part that is no file


@dataclass(frozen=True, slots=True)
class FormFile:
    """Uploaded file of a form."""

    name: str  # of the file; may be empty
    data: bytes


@dataclass(slots=True)
class Form:
    """Parts of a body by field name."""

    texts: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    files: dict[str, FormFile] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """The last text of the field; None when it has none, or an empty one."""
        return self.texts[name][-1] or None if name in self.texts else None

    def entries(self, name: str) -> dict[str, str]:
        """Map in fields name[key], as SDKs write it. Errors: InvalidRequest (one field of that name)."""
        if name in self.texts:
            raise InvalidRequest(field=name, problem=f"must be fields {name}[key], one for each entry")
        return {
            field.removeprefix(f"{name}[").removesuffix("]"): texts[-1]
            for field, texts in self.texts.items()
            if field.startswith(f"{name}[")
        }

    def file(self, name: str) -> FormFile:
        """File of a field. Errors: InvalidRequest (no such file, or an empty one)."""
        if name not in self.files:
            problem = "must be a file, with a filename" if name in self.texts else "is required"
            raise InvalidRequest(field=name, problem=problem)
        if not self.files[name].data:
            raise InvalidRequest(field=name, problem="the file is empty")
        return self.files[name]


def parse(body: bytes, content_type: str) -> Form:
    """Form of a body. Errors: InvalidRequest, naming the body or the part that cannot be read."""
    kind, options = parse_options_header(content_type.encode())
    if kind != b"multipart/form-data":
        shown = kind.decode("latin-1") or "none"
        raise _unreadable(f"must be multipart/form-data, got content-type {shown}")
    if not options.get(b"boundary"):
        raise _unreadable("its content-type names no boundary")
    reader = _FormReader()
    try:
        parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": reader.begin,
                "on_header_field": reader.header_field,
                "on_header_value": reader.header_value,
                "on_header_end": reader.header_end,
                "on_part_data": reader.part_data,
                "on_part_end": reader.end_part,
                "on_end": reader.end,
            },
        )
        parser.write(body)
    except FormParserError as error:
        raise _unreadable(f"not a multipart body: {error}") from None
    if not reader.complete:
        raise _unreadable("not a multipart body: it ends before its last boundary")
    return reader.form


class _FormReader:
    """Callbacks of the parser, which collect the parts into a Form."""

    def __init__(self) -> None:
        self.form = Form()
        self.complete = False
        self._parts = 0
        self._header = b""  # of the part, as far as it has come
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._data = bytearray()

    def begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _unreadable(f"has more than {MAX_PARTS} parts")
        self._headers, self._data = {}, bytearray()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += memoryview(data)[start:end]

    def end_part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if not name:
            raise _unreadable(f"part {self._parts} has no name")
        if b"filename" in options:
            self.form.files[name] = FormFile(
                options[b"filename"].decode("utf-8", "replace"), bytes(self._data)
            )
            return
        if len(self._data) > MAX_TEXT_BYTES:
            raise InvalidRequest(field=name, problem=f"must have at most {MAX_TEXT_BYTES} bytes")
        try:
            self.form.texts[name].append(self._data.decode())
        except UnicodeDecodeError:
            raise InvalidRequest(field=name, problem="is not UTF-8") from None

    def end(self) -> None:
        self.complete = True


def _unreadable(problem: str) -> InvalidRequest:
    """Error of a body that is no form."""
    return InvalidRequest(field="body", problem=problem)
