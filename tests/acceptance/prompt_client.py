"""A client of prompts over REST."""

import json
from typing import Any
from uuid import uuid4

import aiohttp

from tests.acceptance.test_rest import Answer

PROMPTS, EXECUTE = "/v1/prompts", "/v1/execute-prompt"


class Rest:
    """A client of prompts; slugs are its own, so that tests need not clean up."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.tag = uuid4().hex[:12]

    def slug(self, name: str = "greet") -> str:
        return f"{name}-{self.tag}"

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        given: Any = {"data": json.dumps(body), "headers": {"content-type": "application/json", **headers}}
        async with self.http.request(method, path, **(given if body is not None else {})) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def get(self, path: str, status: int = 200) -> Any:
        answer = await self.call("GET", path)
        assert answer.status == status, answer.body
        return answer.json

    async def post(self, path: str, body: Any, status: int = 200) -> Any:
        answer = await self.call("POST", path, body)
        assert answer.status == status, answer.body
        return answer.json

    async def put(self, path: str, body: Any, status: int = 200) -> Any:
        answer = await self.call("PUT", path, body)
        assert answer.status == status, answer.body
        return answer.json

    async def made(self, name: str = "greet", /, **fields: Any) -> Any:
        return await self.post(PROMPTS, self.draft(name, **fields), 201)

    def draft(self, name: str = "greet", /, **fields: Any) -> dict[str, Any]:
        body = {"name": "Greet", "slug": self.slug(name), "user_prompt_template": "Hello {name}"}
        return {**body, "variables": [{"name": "name"}], **fields}

    async def refused(self, method: str, path: str, body: Any, status: int, code: str) -> str:
        """The message of an error that has both shapes."""
        answer = await self.call(method, path, body)
        assert answer.status == status, answer.body
        error = answer.json["error"]
        assert error["code"] == code
        assert error["request_id"] == answer.headers["x-request-id"]
        if status == 422:
            assert {"loc", "msg", "type"} <= set(answer.json["detail"][0])
        else:
            assert answer.json["detail"] == error["message"]
        return str(error["message"])
