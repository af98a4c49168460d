"""OpenAI's files and batches: what is uploaded is kept, and a batch goes one step each time it is asked for.

Shapes: https://platform.openai.com/docs/api-reference/files and .../batch (2026-11-28).
"""

import json
from typing import Any

from aiohttp import web

from tests.upstreams import forms
from tests.upstreams.bill import Entry
from tests.upstreams.delivery import Answer, Event
from tests.upstreams.openai_errors import error
from tests.upstreams.reply import Reply
from tests.upstreams.samples import count_tokens, echo
from tests.upstreams.server import Refused, Upstream

CREATED = 1795219200
STEPS = ("validating", "in_progress", "finalizing", "completed")
ENDED = ("completed", "failed", "expired", "cancelled")
REFUSED = "refuse"  # a line whose custom_id begins so is not answered


class FileCabinet:
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.clear()

    def clear(self) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.model: str | None = None  # of the answers; None: as asked
        self.cached_tokens = 0  # of each answer's prompt
        self.prefix = ""  # of ids
        self.deletes_output = False  # as soon as it is written
        self.holds = False  # batches stay in progress until they are cancelled
        self.ends_as = "completed"  # or expired, or failed
        self.stops_after: int | None = None  # lines that are answered before a batch is cancelled or expires
        self.omits: set[str] = set()  # texts whose lines are in neither file
        self.errors: dict[str, int] = {}  # status of the answer to a text
        self.seen: dict[str, int] = {}  # looks at the list, by the id of a batch
        self.lists_after = 0  # looks at the list, before a batch is in it
        self.hides: set[str] = set()  # ids of batches that the list does not show
        self.repeats = False  # each line of an output is there twice

    def routes(self) -> list[web.RouteDef]:
        answer = self._upstream.endpoint
        return [
            web.post("/v1/files", answer(self._upload)),
            web.get("/v1/files", answer(self._list_files)),
            web.get("/v1/files/{id}", answer(self._get_file)),
            web.delete("/v1/files/{id}", answer(self._delete)),
            web.get("/v1/files/{id}/content", answer(self._content)),
            web.post("/v1/batches", answer(self._create)),
            web.get("/v1/batches", answer(self._list_batches)),
            web.get("/v1/batches/{id}", answer(self._get_batch)),
            web.post("/v1/batches/{id}/cancel", answer(self._cancel)),
        ]

    def keep(self, data: bytes, filename: str, purpose: str, **more: Any) -> dict[str, Any]:
        id = f"{self.prefix and self.prefix + '-'}file-{len(self.contents) + 1:04}"
        self.contents[id] = data
        self.files[id] = {
            "id": id,
            "object": "file",
            "bytes": len(data),
            "created_at": CREATED + len(self.contents),
            "expires_at": None,
            "filename": filename,
            "purpose": purpose,
            "status": "processed",
            "status_details": None,
        } | more
        return self.files[id]

    def _upload(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        if not isinstance(body.get("file"), dict):
            raise Refused(error(400, "'file' is a required property"))
        if not body.get("purpose"):
            raise Refused(error(400, "'purpose' is a required property"))
        more = {}
        if seconds := body.get("expires_after[seconds]"):
            more["expires_at"] = CREATED + int(seconds)
        file = self.keep(forms.data_of(body["file"]), body["file"]["filename"], body["purpose"], **more)
        return _json(file)

    def _list_files(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        files = [
            file for file in self.files.values() if entry.query.get("purpose") in (None, file["purpose"])
        ]
        return _page(files if entry.query.get("order") == "asc" else files[::-1], entry, 10000)

    def _get_file(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        return _json(self._file(entry))

    def _delete(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        file = self._file(entry)
        del self.files[file["id"]]
        return _json({"id": file["id"], "object": "file", "deleted": True})

    def _content(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        data = self.contents[self._file(entry)["id"]]
        return Answer([Event(data)], "application/octet-stream")

    def _file(self, entry: Entry) -> dict[str, Any]:
        id = entry.path.split("/")[3]
        if id not in self.files:
            raise Refused(error(404, f"No such File object: {id}", param="id"))
        return self.files[id]

    def _create(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        for name in ("input_file_id", "endpoint", "completion_window"):
            if not body.get(name):
                raise Refused(error(400, f"Missing required parameter: '{name}'.", param=name))
        if body["input_file_id"] not in self.files:
            raise Refused(error(404, f"No such File object: {body['input_file_id']}", param="input_file_id"))
        id = f"{self.prefix and self.prefix + '-'}batch_{len(self.batches) + 1:04}"
        nothing = (
            *("errors", "output_file_id", "error_file_id", "in_progress_at", "finalizing_at", "completed_at"),
            *("failed_at", "expired_at", "cancelling_at", "cancelled_at"),
        )
        self.batches[id] = dict.fromkeys(nothing) | {
            "id": id,
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "completion_window": body["completion_window"],
            "status": "validating",
            "created_at": CREATED,
            "expires_at": CREATED + 86400,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": body.get("metadata"),
        }
        return _json(self.batches[id])

    def _list_batches(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        shown = []
        for batch in reversed(self.batches.values()):
            seen = self.seen.get(batch["id"], 0)
            self.seen[batch["id"]] = seen + 1
            if seen >= self.lists_after and batch["id"] not in self.hides:
                shown.append(batch)
        return _page(shown, entry, 20)

    def _get_batch(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        batch = self._batch(entry)
        if batch["status"] == "cancelling":
            self._end(batch, "cancelled")
        elif batch["status"] not in ENDED:
            step = STEPS[STEPS.index(batch["status"]) + 1]
            if step == "finalizing" and self.holds:
                return _json(batch)
            if step == "in_progress" and self.ends_as == "failed":
                fault = {
                    "code": "token_limit_exceeded",
                    "message": "Enqueued token limit reached",
                    "line": None,
                }
                errors = {"object": "list", "data": [fault | {"param": None}]}
                batch |= {"status": "failed", "failed_at": CREATED + 60, "errors": errors}
            elif step == "completed":
                self._end(batch, self.ends_as)
            else:
                batch |= {"status": step, f"{step}_at": CREATED + 60}
                batch["request_counts"]["total"] = len(self._lines(batch))
        self.batches[batch["id"]] = batch
        return _json(batch)

    def _cancel(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        batch = self._batch(entry)
        if batch["status"] in ENDED:
            message = f"Cannot cancel a batch with status '{batch['status']}'."
            raise Refused(error(400, message))
        batch |= {"status": "cancelling", "cancelling_at": CREATED + 90}
        return _json(batch)

    def _batch(self, entry: Entry) -> dict[str, Any]:
        id = entry.path.split("/")[3]
        if id not in self.batches:
            raise Refused(error(404, f"No batch found with id '{id}'."))
        return self.batches[id]

    def _lines(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in self.contents[batch["input_file_id"]].splitlines() if line.strip()
        ]

    def _end(self, batch: dict[str, Any], status: str) -> None:
        lines = self._lines(batch)
        done = lines if status == "completed" else lines[: self.stops_after]
        left = [line for line in lines if line not in done]
        found = [line for line in done if _text(line) not in self.omits]
        refused = [line for line in found if line["custom_id"].startswith(REFUSED)]
        wrong = [line for line in found if _text(line) in self.errors]
        good = [self._answered(line, batch) for line in found if line not in refused and line not in wrong]
        good.reverse()  # no order is promised
        bad = [_refused(line) for line in refused]
        bad += [_failed(line, self.errors[_text(line)]) for line in wrong]
        bad += [_stopped(line, status) for line in left]
        batch |= {"status": status, f"{status}_at": CREATED + 120}
        for name, answers in (("output_file_id", good), ("error_file_id", bad)):
            if answers:
                answers = answers * 2 if self.repeats else answers
                data = "".join(f"{json.dumps(answer, ensure_ascii=False)}\n" for answer in answers).encode()
                file = self.keep(data, f"{batch['id']}_{name}.jsonl", "batch_output")
                batch[name] = file["id"]
                if self.deletes_output:
                    del self.files[file["id"]]
        batch["request_counts"] = {"total": len(lines), "completed": len(good), "failed": len(bad)}

    def _answered(self, line: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
        asked = line["body"]
        given = count_tokens(json.dumps(asked.get("messages") or asked.get("input")))
        body = {"id": f"answer-{line['custom_id']}", "model": self.model or asked["model"]}
        if batch["endpoint"] == "/v1/chat/completions":
            message = {"role": "assistant", "content": echo(asked["messages"]), "refusal": None}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            body |= {"object": "chat.completion", "created": CREATED, "choices": [choice]}
        if batch["endpoint"] == "/v1/responses":
            details = {"cached_tokens": self.cached_tokens}
            body["usage"] = {"input_tokens": given, "output_tokens": 7, "total_tokens": given + 7}
            body["usage"] |= {
                "input_tokens_details": details,
                "output_tokens_details": {"reasoning_tokens": 2},
            }
        else:
            details = {"cached_tokens": self.cached_tokens}
            body["usage"] = {"prompt_tokens": given, "completion_tokens": 7, "total_tokens": given + 7}
            body["usage"]["prompt_tokens_details"] = details
        response = {"status_code": 200, "request_id": "req_1", "body": body}
        return {
            "id": f"batch_req_{line['custom_id']}",
            "custom_id": line["custom_id"],
            "response": response,
            "error": None,
        }


def _text(line: dict[str, Any]) -> str:
    """Text that a chat of one message asks."""
    messages = line["body"].get("messages") or [{}]
    return str(messages[0].get("content", ""))


def _failed(line: dict[str, Any], status: int) -> dict[str, Any]:
    body = {"error": {"message": "The server had an error", "type": "server_error", "code": None}}
    response = {"status_code": status, "request_id": "req_3", "body": body}
    return {"id": "batch_req_x", "custom_id": line["custom_id"], "response": response, "error": None}


def _stopped(line: dict[str, Any], status: str) -> dict[str, Any]:
    """Line that was not worked on."""
    code = "batch_expired" if status == "expired" else "batch_cancelled"
    error = {"code": code, "message": "This request could not be executed before the batch ended."}
    return {"id": "batch_req_x", "custom_id": line["custom_id"], "response": None, "error": error}


def _refused(line: dict[str, Any]) -> dict[str, Any]:
    body = {"error": {"message": "no such model", "type": "invalid_request_error", "code": "model_not_found"}}
    response = {"status_code": 400, "request_id": "req_2", "body": body}
    return {
        "id": f"batch_req_{line['custom_id']}",
        "custom_id": line["custom_id"],
        "response": response,
        "error": None,
    }


def _page(entries: list[dict[str, Any]], entry: Entry, most: int) -> Answer:
    ids = [found["id"] for found in entries]
    after = entry.query.get("after")
    rest = entries[ids.index(after) + 1 :] if after in ids else entries
    page = rest[: int(entry.query.get("limit", most))]
    ends = (
        {"first_id": page[0]["id"], "last_id": page[-1]["id"]}
        if page
        else {"first_id": None, "last_id": None}
    )
    return _json({"object": "list", "data": page, **ends, "has_more": len(rest) > len(page)})


def _json(value: Any) -> Answer:
    return Answer([Event(json.dumps(value, indent=2).encode())])
