"""Documents read and cut in a process with limits: good ones, and those that mean harm."""

import asyncio
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from genai_spine.errors import DocumentUnreadable
from genai_spine.retrieval import reader_process
from genai_spine.retrieval.reader_process import Answer, Reader, Source
from genai_spine.text.document_chunks import ChunkRules
from tests.unit.retrieval import documents

RULES = ChunkRules(max_tokens=64)


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    made = Reader("hashing", RULES)
    yield made
    await made.close()


async def read(reader: Reader, name: str, data: bytes, media_type: str = "") -> Answer:
    return await reader.read(Source(name, media_type, data))


async def kind_of_failure(reader: Reader, name: str, data: bytes, media_type: str = "") -> str:
    with pytest.raises(DocumentUnreadable) as failed:
        await read(reader, name, data, media_type)
    return failed.value.metadata["kind"]


async def test_pdf_of_1000_pages_is_read_with_the_page_of_each_chunk(reader: Reader):
    answer = await read(reader, "report.pdf", documents.numbered_pdf(1000))
    assert (len(answer.page_starts), answer.empty_pages, answer.title) == (1000, 0, "Report of the year")
    chunk = next(one for one in answer.chunks if "invoice 777 " in one.text)
    assert chunk.first_page <= 777 <= chunk.last_page
    assert chunk.last_page - chunk.first_page <= 4


async def test_rows_of_a_pdfs_table_stay_together(reader: Reader):
    rows = [["Item", "Price"], ["Bolt M8", "0.12 EUR"], ["Nut M8", "0.07 EUR"]]
    answer = await read(reader, "prices.pdf", documents.table_pdf(rows))
    text = answer.chunks[0].text
    assert text.index("Bolt M8") < text.index("0.12 EUR") < text.index("Nut M8") < text.index("0.07 EUR")


async def test_columns_of_a_pdf_are_read_one_after_the_other(reader: Reader):
    left, right = ("The left column speaks of apples. " * 8, "The right column speaks of pears. " * 8)
    answer = await read(reader, "columns.pdf", documents.two_column_pdf(left, right))
    text = " ".join(chunk.text for chunk in answer.chunks)
    assert text.rindex("apples") < text.index("pears")


async def test_docx_is_read_with_headings_and_tables():
    reader = Reader("hashing", ChunkRules("structure", 200))
    data = documents.docx(["Goods travel at the buyer's risk."], [["Port", "Days"], ["Hamburg", "3"]])
    answer = await read(reader, "terms.docx", data)
    await reader.close()
    text = "\n".join(chunk.text for chunk in answer.chunks)
    assert "| Hamburg | 3 |" in text
    assert answer.chunks[0].headings == ("Terms of delivery",)


async def test_html_loses_scripts_and_keeps_text(reader: Reader):
    html = b"<html><head><title>Shop</title><script>steal()</script></head><body><h1>Bolts</h1>"
    html += b"<p>Zinc coated.</p><script>alert('x')</script><style>p {}</style></body></html>"
    answer = await read(reader, "shop.html", html)
    text = "\n".join(chunk.text for chunk in answer.chunks)
    assert answer.title == "Shop"
    assert "Zinc coated." in text
    assert not any(word in text for word in ("steal", "alert", "p {}"))


@pytest.mark.parametrize(
    ("name", "data", "media_type", "kind"),
    [
        ("empty.pdf", b"", "", "empty"),
        ("blank.txt", b" \n \n", "", "empty"),
        ("fake.pdf", b"This is a text and no PDF.", "", "wrong_type"),
        ("fake.docx", b"This is a text and no DOCX.", "", "wrong_type"),
        ("text.bin", b"\x00\x01\x02\x03" * 100, "", "unknown_type"),
        ("image.png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 100, "image/png", "unknown_type"),
        ("said.txt", b"%PDF-1.7 and so on", "text/plain", "wrong_type"),
        ("cut.pdf", documents.numbered_pdf(3)[:700], "", "damaged"),
        ("cut.docx", documents.docx(["Some text."])[:900], "", "damaged"),
        ("other.zip", b"PK\x05\x06" + b"\x00" * 18, "", "unknown_type"),
        ("locked.pdf", documents.pdf(["A secret."], owner="o", user="u"), "", "encrypted"),
        ("scan.pdf", documents.pdf([""]), "", "no_text"),
        ("bomb.docx", documents.docx_bomb(300 << 20), "", "too_large"),
    ],
)
async def test_what_cannot_be_read_is_refused_by_its_kind(
    reader: Reader, name: str, data: bytes, media_type: str, kind: str
):
    assert await kind_of_failure(reader, name, data, media_type) == kind


async def test_pdf_that_needs_no_password_is_read_though_it_is_encrypted(reader: Reader):
    answer = await read(reader, "open.pdf", documents.pdf(["For everybody."], owner="o", user=""))
    assert answer.chunks[0].text == "For everybody."


async def test_bombs_are_bounded_in_memory_and_time(reader: Reader):
    zipped, bomb = documents.docx_bomb(150 << 20), documents.flate_bomb_pdf(500 << 20)
    assert len(bomb) < 600_000
    await read(reader, "small.txt", b"Some text.")
    process = reader._process
    assert process is not None
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_AS)
    assert soft == hard == 1 << 30  # what the kernel holds it to, whatever it reads
    assert await kind_of_failure(reader, "bomb.docx", zipped) in ("damaged", "too_large")
    assert await kind_of_failure(reader, "bomb.pdf", bomb) in ("damaged", "too_large", "no_text")


async def test_html_is_read_or_refused_by_its_depth_and_never_cut(reader: Reader):
    def nested(depth: int) -> bytes:
        return b"<!doctype html>" + b"<div>" * depth + b"deep inside" + b"</div>" * depth + b"<p>after</p>"

    assert "deep inside" in (await read(reader, "deep.html", nested(900))).chunks[0].text
    for depth in (2_000, 200_000):
        assert await kind_of_failure(reader, "deep.html", nested(depth)) == "too_deep"


async def test_document_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch):
    reader = Reader("hashing", RULES, wall_s=0.01)
    assert await kind_of_failure(reader, "slow.pdf", documents.numbered_pdf(50)) == "too_slow"
    reader = Reader("hashing", RULES)
    assert (await read(reader, "next.txt", b"It goes on.")).chunks[0].text == "It goes on."
    await reader.close()


async def test_cancelled_reading_leaves_no_process():
    reader = Reader("hashing", RULES)
    await read(reader, "short.txt", b"It starts the process.")
    process = reader._process
    assert process is not None
    task = asyncio.ensure_future(read(reader, "long.pdf", documents.numbered_pdf(400)))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process.returncode is not None
    assert reader_process._place()._value == reader_process.MAX_PROCESSES


async def test_process_gets_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch, reader: Reader):
    monkeypatch.setenv("GENAI_OPENAI_API_KEY", "sk-secret")
    await read(reader, "a.txt", b"A text.")
    assert reader._process is not None
    told = await asyncio.to_thread(Path(f"/proc/{reader._process.pid}/environ").read_bytes)
    assert b"PATH=" in told
    assert b"sk-secret" not in told
