"""Documents that tests make: PDFs of several pages, with tables and columns, DOCX files, and hostile ones."""

import io
import zipfile
import zlib
from collections.abc import Sequence

from docx import Document
from fpdf import FPDF
from fpdf.enums import AccessPermission, EncryptionMethod

SENTENCE = "Page {number} tells of invoice {number} over {number},000 euros."


def pdf(pages: Sequence[str], **options: str) -> bytes:
    """PDF with a text a page. owner, user: passwords."""
    made = FPDF()
    if options:
        made.set_encryption(
            owner_password=options["owner"],
            user_password=options["user"],
            encryption_method=EncryptionMethod.RC4,
            permissions=AccessPermission.none(),
        )
    made.set_title("Report of the year")
    made.set_font("Helvetica", size=11)
    for text in pages:
        made.add_page()
        made.multi_cell(0, 6, text)
    return bytes(made.output())


def numbered_pdf(count: int) -> bytes:
    return pdf([SENTENCE.format(number=number) for number in range(1, count + 1)])


def table_pdf(rows: Sequence[Sequence[str]]) -> bytes:
    made = FPDF()
    made.add_page()
    made.set_font("Helvetica", size=11)
    with made.table() as table:
        for cells in rows:
            row = table.row()
            for cell in cells:
                row.cell(cell)
    return bytes(made.output())


def two_column_pdf(left: str, right: str) -> bytes:
    made = FPDF()
    made.add_page()
    made.set_font("Helvetica", size=11)
    with made.text_columns(ncols=2, gutter=8) as columns:
        columns.write(left)
        columns.new_column()
        columns.write(right)
    return bytes(made.output())


def docx(paragraphs: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> bytes:
    """DOCX with a heading, paragraphs and a table."""
    made = Document()
    made.add_heading("Terms of delivery", level=1)
    for text in paragraphs:
        made.add_paragraph(text)
    if rows:
        table = made.add_table(len(rows), len(rows[0]))
        for place, cells in enumerate(rows):
            for cell, text in zip(table.rows[place].cells, cells, strict=True):
                cell.text = text
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


def docx_bomb(size: int) -> bytes:
    """DOCX whose text is so many bytes of the same letter."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx(["x"]))) as good, zipfile.ZipFile(file, "w") as bomb:
        for part in good.infolist():
            data = good.read(part)
            if part.filename == "word/document.xml":
                data = data.replace(b">x<", b">" + b"x" * size + b"<")
            bomb.writestr(part.filename, data, zipfile.ZIP_DEFLATED, 9)
    return file.getvalue()


def flate_bomb_pdf(size: int) -> bytes:
    """PDF whose one page unpacks to so many blanks."""
    stream = zlib.compress(b" " * size, 9)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] /Contents 4 0 R >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(stream), stream),
    ]
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out + b"trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % start)
