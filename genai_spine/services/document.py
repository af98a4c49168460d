"""DocumentService: the OpenAPI document, and Swagger UI over it as one page that needs no network."""

import asyncio
import json
import re
from functools import lru_cache

from google.api import httpbody_pb2
from swagger_ui_bundle import swagger_ui_path

from genai_spine.call import Call
from genai_spine.services import openapi
from genai_spine.v1 import document_service_pb2 as pb
from genai_spine.version import VERSION

# The document's address and the server to try come from the page's own address, so that both work
# under /docs, /api/docs and any prefix of a proxy. The bundled Swagger UI 4 reads OpenAPI 3.0 only
# (https://github.com/swagger-api/swagger-ui#compatibility, 2026-11-21), so the page rewrites the few
# 3.1 forms that the document uses; what /openapi.json serves stays 3.1.
STARTUP = """
const base = location.pathname.replace(/\\/(docs|redoc)\\/?$/, "");
const asOpenApi30 = (key, value) => {
  if (value && Array.isArray(value.type)) {
    value.nullable = value.type.includes("null");
    value.type = value.type.find((type) => type !== "null");
  }
  if (value && value.$ref && Object.keys(value).length > 1) {
    const {$ref, ...beside} = value;
    return {allOf: [{$ref}], ...beside};
  }
  if (value && value.schema && value.examples) {
    const [first] = Object.values(value.examples);
    value.schema = {allOf: [value.schema], example: first.value};
  }
  return value;
};
const show = (text) => {
  const spec = JSON.parse(text, asOpenApi30);
  SwaggerUIBundle({
    spec: {...spec, openapi: "3.0.3", servers: [{url: location.origin + base}]},
    dom_id: "#page",
    deepLinking: true,
    filter: true,
    docExpansion: "none",
    defaultModelExpandDepth: 2,
    defaultModelsExpandDepth: 2,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    validatorUrl: null,
  });
};
fetch(base + "/openapi.json")
  .then((answer) => (answer.ok ? answer.text() : Promise.reject(new Error("status " + answer.status))))
  .then(show)
  .catch((error) => {
    document.getElementById("page").textContent = "openapi.json could not be read: " + error.message;
  });
"""


class DocumentService:
    """RPCs of the OpenAPI document and its page.

    Both are built once, when they are first asked for: they cost a third of what a server needs to start.
    """

    async def GetOpenApi(self, request: pb.GetOpenApiRequest, call: Call) -> httpbody_pb2.HttpBody:
        return await asyncio.to_thread(_document)

    async def GetDocs(self, request: pb.GetDocsRequest, call: Call) -> httpbody_pb2.HttpBody:
        return await asyncio.to_thread(_page)


@lru_cache(maxsize=1)
def _document() -> httpbody_pb2.HttpBody:
    text = json.dumps(openapi.document(VERSION), ensure_ascii=False, separators=(",", ":"))
    return httpbody_pb2.HttpBody(content_type="application/json", data=text.encode())


@lru_cache(maxsize=1)
def _page() -> httpbody_pb2.HttpBody:
    return httpbody_pb2.HttpBody(content_type="text/html; charset=utf-8", data=page().encode())


def page() -> str:
    """Swagger UI, from the package swagger-ui-bundle, with its script and style inlined."""
    style, script = _asset("swagger-ui.css"), _asset("swagger-ui-bundle.js")
    script = script.replace("<!--", r"\x3C!--")  # or HTML takes the rest of the script for a comment
    licence = f"/* {swagger_ui_path.name}, Apache License 2.0: https://www.apache.org/licenses/LICENSE-2.0 */"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>GenAI Spine API</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<style>body {{margin: 0}} {style}</style>\n</head>\n'
        f'<body>\n<div id="page"></div>\n<script>{licence}\n{script}</script>\n<script>{STARTUP}</script>\n'
        "</body>\n</html>\n"
    )


def _asset(name: str) -> str:
    """The text of one file of Swagger UI, less the line that names its source map."""
    text = (swagger_ui_path / name).read_text("utf-8")
    return re.sub(r"/[/*]# sourceMappingURL=.*$", "", text.rstrip())
