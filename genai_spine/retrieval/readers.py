"""Readers of documents: PDF, DOCX, HTML, Markdown and plain text; each gives text, or says why there is none.

They run in reader_process alone, where the kernel bounds what a hostile file can take. pypdf's own limits end
in named errors (https://pypdf.readthedocs.io, 7.1.1, 2026-11-30).
"""

import re
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, NamedTuple

from genai_spine.text.document_chunks import DocumentText

MAX_PAGES = 2000  # of a PDF
MAX_UNPACKED_BYTES = 200 << 20  # of all parts of a DOCX together, as its zip declares them
MAX_PARTS = 10_000
MAX_CHARACTERS = 20_000_000  # of a document's text
PAGE_BREAK = "\n\n"

PDF, HTML, MARKDOWN, TEXT = "application/pdf", "text/html", "text/markdown", "text/plain"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
ENDINGS = {
    ".pdf": PDF,
    ".docx": DOCX,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".txt": TEXT,
    ".text": TEXT,
    ".log": TEXT,
    ".csv": TEXT,
    ".rst": TEXT,
}
OTHER_NAMES = {"application/xhtml+xml": HTML, "text/x-markdown": MARKDOWN}
WORDPROCESSING = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
# What libraries raise for files that their makers did not think of, besides errors of their own.
DAMAGED = (ValueError, TypeError, KeyError, AttributeError, IndexError, NotImplementedError)
# White space and NUL that PDF and HTML bring along; a database takes no NUL.
UNWANTED = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


class Unreadable(Exception):
    """Document that cannot be read. kind: a word for programs; the message says it in words."""

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(problem)
        self.kind = kind


class ReadDocument(NamedTuple):
    """Document as it was read. empty_pages: of its pages, those without a text."""

    document: DocumentText
    media_type: str
    title: str
    empty_pages: int = 0


def read(data: bytes, name: str, media_type: str) -> ReadDocument:
    """Text of a document. media_type: empty: by the first bytes and the name's ending. Raises Unreadable."""
    if not data.strip():
        raise Unreadable("empty", "it is empty")
    kind = kind_of(data, name, media_type)
    found = READERS[kind](data)
    if not found.document.text.strip():
        problem = "no page has a text; it may be scanned" if found.empty_pages else "it has no text"
        raise Unreadable("no_text", problem)
    if len(found.document.text) > MAX_CHARACTERS:
        raise Unreadable("too_large", f"it has more than {MAX_CHARACTERS} characters")
    return found._replace(media_type=kind, title=found.title or name)


def kind_of(data: bytes, name: str, media_type: str) -> str:
    """Media type of a document, by what was said, its first bytes and its name. Raises Unreadable."""
    said = media_type.partition(";")[0].strip().lower()
    said = OTHER_NAMES.get(said, said)
    if said and said not in READERS:
        if not said.startswith("text/") and said != "application/octet-stream":
            raise Unreadable("unknown_type", f"{said[:80]} is none of {', '.join(READERS)}")
        said = TEXT if said.startswith("text/") else ""
    seen = _seen(data)
    if seen in (PDF, DOCX) or said in (PDF, DOCX):
        if said and seen != said:
            raise Unreadable("wrong_type", f"it is not {said}, as was said")
        return seen
    if said:
        return said
    ending = ENDINGS.get(name[name.rfind(".") :].lower() if "." in name else "", "")
    if ending in (PDF, DOCX):
        raise Unreadable("wrong_type", f"it is not {ending}, as its name says")
    return ending or seen


def _seen(data: bytes) -> str:
    """Media type by the first bytes. Raises Unreadable."""
    head = data[:1024]
    if b"%PDF-" in head:
        return PDF
    if head.startswith(b"PK\x03\x04"):
        return DOCX
    if b"\x00" in data[:65_536] and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("unknown_type", "it is neither a text nor a PDF or DOCX file")
    return HTML if re.match(rb"\s*(?:<!doctype html|<html|<head|<body)", head, re.I) else TEXT


def _pdf(data: bytes) -> ReadDocument:
    from pypdf import PasswordType, PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(BytesIO(data))
        if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
            raise Unreadable("encrypted", "it is encrypted")
        count = len(reader.pages)
        if count > MAX_PAGES:
            raise Unreadable("too_large", f"it has {count} pages; at most {MAX_PAGES} are read")
        texts = [clean(page.extract_text() or "") for page in reader.pages]
        title = reader.metadata.title if reader.metadata else None
    except (PyPdfError, *DAMAGED) as error:
        if "crypt" in f"{type(error).__name__} {error}".lower():
            raise Unreadable("encrypted", "it is encrypted") from error
        raise Unreadable("damaged", f"it is no PDF that can be read: {type(error).__name__}") from error
    starts, at = [], 0
    for text in texts:
        starts.append(at)
        at += len(text) + len(PAGE_BREAK)
        if at > MAX_CHARACTERS:
            raise Unreadable("too_large", f"it has more than {MAX_CHARACTERS} characters")
    document = DocumentText(PAGE_BREAK.join(texts), pages=starts)
    return ReadDocument(
        document, PDF, clean(str(title or "")).strip()[:512], sum(not t.strip() for t in texts)
    )


def _docx(data: bytes) -> ReadDocument:
    _check_zip(data)
    from docx import Document
    from docx.opc.exceptions import PackageNotFoundError
    from docx.table import Table

    try:
        document = Document(BytesIO(data))
        parts = [
            _table(one) if isinstance(one, Table) else _paragraph(one)
            for one in document.iter_inner_content()
        ]
        title = document.core_properties.title
    except (PackageNotFoundError, SyntaxError, zipfile.BadZipFile, *DAMAGED) as error:  # lxml's: SyntaxError
        raise Unreadable("damaged", f"it is no DOCX that can be read: {type(error).__name__}") from error
    text = clean("\n\n".join(part for part in parts if part))
    return ReadDocument(DocumentText(text, is_markdown=True), DOCX, clean(title or "").strip()[:512])


def _check_zip(data: bytes) -> None:
    """Raises Unreadable before anything of a zip is unpacked that would be too large."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OverflowError, EOFError) as error:
        raise Unreadable("damaged", "it is a damaged zip file") from error
    if any(part.flag_bits & 1 for part in parts):
        raise Unreadable("encrypted", "it is encrypted")
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES:
        raise Unreadable("too_large", f"unpacked it would have more than {MAX_UNPACKED_BYTES >> 20} MiB")
    if not any(part.filename == "[Content_Types].xml" for part in parts):
        raise Unreadable("wrong_type", "it is a zip file, and no DOCX")


def _paragraph(paragraph: Any) -> str:
    """Paragraph as Markdown."""
    text = str(paragraph.text).strip()
    style = str(paragraph.style.name if paragraph.style is not None else "")
    level = style.removeprefix("Heading ")
    if text and style.startswith("Heading ") and level.isdigit():
        return f"{'#' * min(6, int(level))} {' '.join(text.split())}"
    if text and style == "Title":
        return f"# {' '.join(text.split())}"
    return f"- {text}" if text and style.startswith("List") else text


def _table(table: Any) -> str:
    """Table as Markdown, of its XML: to ask python-docx for cells takes the square of their number."""
    rows = [
        [_cell(cell) for cell in row.iter(f"{WORDPROCESSING}tc")]
        for row in table._tbl.iter(f"{WORDPROCESSING}tr")
    ]
    if not rows:
        return ""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]])


def _cell(cell: Any) -> str:
    text = "".join(part.text or "" for part in cell.iter(f"{WORDPROCESSING}t"))
    return " ".join(text.split()).replace("|", "\\|")


def _html(data: bytes) -> ReadDocument:
    from html_to_markdown import ConversionOptions, convert

    html = _decoded(data)
    try:
        found = convert(html, ConversionOptions())
    except Exception as error:  # of a Rust library, whose classes of errors say little more
        raise Unreadable("damaged", f"it is no HTML that can be read: {type(error).__name__}") from error
    if any("depth" in str(warning.kind) for warning in found.warnings):  # what is deeper was left out
        raise Unreadable("too_deep", "its elements are nested too deeply")
    title = re.search(r"<title[^>]*>([^<]{1,1000})", html, re.I)
    text = clean(_without_front_matter(found.content or ""))
    return ReadDocument(
        DocumentText(text, is_markdown=True), HTML, " ".join(clean(title[1]).split())[:512] if title else ""
    )


def _without_front_matter(text: str) -> str:
    """Markdown without the block of YAML that the converter writes for a head."""
    if not text.startswith("---\n"):
        return text
    end = text.find("\n---\n", 4)
    return text if end < 0 else text[end + 5 :]


def _markdown(data: bytes) -> ReadDocument:
    text = clean(_decoded(data))
    heading = re.search(r"^#{1,2}[ \t]+(.{1,500}?)[ \t#]*$", text, re.M)
    return ReadDocument(DocumentText(text, is_markdown=True), MARKDOWN, heading[1] if heading else "")


def _text(data: bytes) -> ReadDocument:
    return ReadDocument(DocumentText(clean(_decoded(data))), TEXT, "")


def _decoded(data: bytes) -> str:
    """Text of bytes: UTF-8, or UTF-16 with its mark, or Windows' Latin-1, which older files have."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def clean(text: str) -> str:
    """Text without control characters, and with one kind of line ends."""
    return UNWANTED.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


READERS: Mapping[str, Callable[[bytes], ReadDocument]] = {
    PDF: _pdf,
    DOCX: _docx,
    HTML: _html,
    MARKDOWN: _markdown,
    TEXT: _text,
}
