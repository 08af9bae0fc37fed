"""A vendor on loopback: OpenAI's files, fine_tuning.jobs and chat.completions as published, with bad days on demand.

Request bodies are checked against the SDK's own parameter types, and answers against its models, so the stand-in
follows the published API or fails its test. Fine-tuning is real, if small: a fine-tuned model is naive Bayes over the
words (or Chinese characters) of the uploaded conversations, and is asked through the same server.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, get_type_hints

from pydantic import TypeAdapter

PUBLISHED_PAGE = 20
TOKEN = re.compile(r"[a-z]+|[\u4e00-\u9fff]")


class Refusal(Exception):
    """An error as the vendor words it."""

    def __init__(self, status: int, message: str, *, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers or {}


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    Attributes:
        status: answered instead; None: the request is done as asked.
        headers: of that answer.
        after: the request is done first, and then its answer is lost to `status` or to a hang-up.
        hang_up: the connection is cut without an answer.
        delay: seconds before the answer.
        raw: sent as a body with status 200.
        code: of the error.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False
    hang_up: bool = False
    delay: float = 0.0
    raw: bytes | None = None
    code: str | None = None


Faults = Callable[[str, int], Fault | None]
"""Name of the request ("POST /files") and how often it came before -> what goes wrong."""


@dataclass
class Vendor:
    """A running vendor and what it has seen.

    Attributes:
        looks: GETs of a job until it has succeeded.
        fails: why jobs fail, as (code, message); None: they don't.
        epochs: what "auto" becomes.
        keeps_metadata: whether jobs show theirs.
        filters: whether lists of jobs keep to the metadata that are asked for.
        deletes: what a deletion answers.
        unprocessed: GETs of a file until it is processed; -1: it is refused.
    """

    url: str = ""
    looks: int = 2
    fails: tuple[str, str] | None = None
    epochs: int = 3
    keeps_metadata: bool = True
    filters: bool = True
    deletes: bool = True
    unprocessed: int = 0
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)  # files that were deleted are still in here
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    looked: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    headers: list[dict[str, str]] = field(default_factory=list)
    models: dict[str, Bayes] = field(default_factory=dict)
    asked: list[tuple[str, list[dict[str, str]]]] = field(default_factory=list)  # model, messages
    broken: list[str] = field(default_factory=list)  # requests and answers that the published API doesn't know
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def uploads(self) -> int:
        """Files that were taken."""
        return len(self.contents)

    # -- files --------------------------------------------------------------------------------

    def upload(self, fields: dict[str, tuple[str | None, bytes]]) -> dict[str, Any]:
        assert fields.keys() == {"file", "purpose"}, fields.keys()
        assert fields["purpose"][1] == b"fine-tune"
        name, data = fields["file"]
        file = f"file-{len(self.contents) + 1}"
        self.contents[file] = data
        status = "processed" if self.unprocessed == 0 else "uploaded"
        self.files[file] = {
            "id": file, "object": "file", "bytes": len(data), "created_at": int(time.time()), "filename": name,
            "purpose": "fine-tune", "status": status,
        }  # fmt: skip
        return self.files[file]

    def file(self, file: str) -> dict[str, Any]:
        if file not in self.files:
            raise Refusal(404, f"No such File object: {file}")
        found = self.files[file]
        self.looked[file] += 1
        if self.unprocessed < 0:
            found |= {"status": "error", "status_details": "line 1 is no chat example"}
        elif self.looked[file] >= self.unprocessed:
            found["status"] = "processed"
        return found

    def delete(self, file: str) -> dict[str, Any]:
        self.file(file)
        if self.deletes:
            del self.files[file]
        return {"id": file, "object": "file", "deleted": self.deletes}

    # -- jobs ---------------------------------------------------------------------------------

    def start(self, body: dict[str, Any]) -> dict[str, Any]:
        check_request(body)
        for name in ("training_file", "validation_file"):
            if name in body and body[name] not in self.files:
                raise Refusal(400, f"{body[name]} does not exist", code="invalid_training_file")
        if not body["model"].startswith("base"):
            raise Refusal(404, f"The model `{body['model']}` does not exist", code="model_not_found")
        job = f"ftjob-{len(self.jobs) + 1}"
        chosen = body.get("method", {}).get("supervised", {}).get("hyperparameters", {})
        self.jobs[job] = {
            "id": job, "object": "fine_tuning.job", "created_at": int(time.time()), "model": "base-2026-01-01",
            "organization_id": "org-1", "result_files": [], "status": "validating_files", "fine_tuned_model": None,
            "training_file": body["training_file"], "validation_file": body.get("validation_file"),
            "seed": body.get("seed", 7), "trained_tokens": None, "finished_at": None, "error": None,
            "hyperparameters": {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"} | chosen,
            "method": body.get("method"), "metadata": body.get("metadata"), "suffix": body.get("suffix"),
        }  # fmt: skip
        self.tell(job, f"Created fine-tuning job: {job}")
        return self.shown(job)

    def shown(self, job: str) -> dict[str, Any]:
        hidden = {"suffix"} | (set() if self.keeps_metadata else {"metadata"})
        return {name: value for name, value in self.jobs[job].items() if name not in hidden}

    def job(self, job: str) -> dict[str, Any]:
        if job not in self.jobs:
            raise Refusal(404, f"Could not find fine tune: {job}", code="fine_tune_not_found")
        self.looked[job] += 1
        found = self.jobs[job]
        if found["status"] not in ("succeeded", "failed", "cancelled"):
            self._move(job, found)
        return self.shown(job)

    def _move(self, job: str, found: dict[str, Any]) -> None:
        if self.fails is not None:
            code, message = self.fails
            found |= {"status": "failed", "error": {"code": code, "message": message, "param": "training_file"}}
            self.tell(job, message, level="error")
        elif self.looked[job] < self.looks:
            found["status"] = "running"
            if found["hyperparameters"]["n_epochs"] == "auto":
                found["hyperparameters"] |= {"n_epochs": self.epochs, "batch_size": 1, "learning_rate_multiplier": 1.8}
            self.tell(job, f"Step {self.looked[job]}: training loss=0.5")
        else:
            self._finish(job, found)

    def _finish(self, job: str, found: dict[str, Any]) -> None:
        rows = conversations(self.contents[found["training_file"]])
        epochs = found["hyperparameters"]["n_epochs"]
        name = f"ft:base:org:{found['suffix'] or ''}:{job}"
        self.models[name] = Bayes(rows)
        tokens = sum(len(TOKEN.findall(text.casefold())) for row in rows for text in row.values())
        found |= {
            "status": "succeeded", "fine_tuned_model": name, "finished_at": int(time.time()),
            "trained_tokens": tokens * (self.epochs if epochs == "auto" else epochs),
        }  # fmt: skip
        self.tell(job, "The job has successfully completed")

    def cancel(self, job: str) -> dict[str, Any]:
        if self.jobs[job]["status"] in ("succeeded", "failed", "cancelled"):
            raise Refusal(400, f"Job {job} has already ended", code="invalid_state")
        self.jobs[job]["status"] = "cancelled"
        return self.shown(job)

    def checkpoints(self, job: str) -> list[dict[str, Any]]:
        if self.jobs[job]["status"] != "succeeded":
            return []
        return [
            {
                "id": f"ftckpt-{job}-{step}", "object": "fine_tuning.job.checkpoint", "created_at": int(time.time()),
                "fine_tuned_model_checkpoint": f"{self.jobs[job]['fine_tuned_model']}:ckpt-step-{step}",
                "fine_tuning_job_id": job, "step_number": step, "metrics": {"step": step, "train_loss": 1 / step},
            }
            for step in (20, 10)
        ]  # fmt: skip

    def tell(self, job: str, message: str, level: str = "info") -> None:
        told = self.events.setdefault(job, [])
        told.append(
            {
                "id": f"ftevent-{job}-{len(told)}", "object": "fine_tuning.job.event", "created_at": int(time.time()),
                "level": level, "message": message, "type": "message", "data": {},
            }
        )  # fmt: skip

    # -- use ----------------------------------------------------------------------------------

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        model, messages = body["model"], body["messages"]
        self.asked.append((model, messages))
        if model not in self.models:
            raise Refusal(404, f"The model `{model}` does not exist", code="model_not_found")
        said = {"role": "assistant", "content": self.models[model].answer(messages[-1]["content"])}
        usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
        choice = {"index": 0, "message": said, "finish_reason": "stop"}
        base = {"id": "x", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]}
        return base | {"usage": usage}


class Bayes:
    """Naive Bayes over the words of user messages: what fine-tuning amounts to here."""

    def __init__(self, rows: list[dict[str, str]]) -> None:
        self.words: dict[str, Counter[str]] = {}
        self.rows: Counter[str] = Counter()
        for row in rows:
            self.rows[row["assistant"]] += 1
            self.words.setdefault(row["assistant"], Counter()).update(set(TOKEN.findall(row["user"].casefold())))

    def answer(self, message: str) -> str:
        seen = set(TOKEN.findall(message.casefold()))

        def score(answer: str) -> float:
            n = self.rows[answer]
            return math.log(n) + sum(math.log((self.words[answer][word] + 0.5) / (n + 1)) for word in seen)

        return max(self.rows, key=score)


def conversations(data: bytes) -> list[dict[str, str]]:
    """Rows of a chat file, checked as the vendor's guide has it: role -> content."""
    rows = []
    for line in data.decode().splitlines():  # as strict as a reader may be: also at U+2028
        row = json.loads(line)
        assert row.keys() == {"messages"}
        assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant"]
        assert all(message.keys() == {"role", "content"} for message in row["messages"])
        rows.append({message["role"]: message["content"] for message in row["messages"]})
    return rows


def check_request(body: dict[str, Any]) -> None:
    """A job's body by the SDK's published types, unknown keys refused at each level."""
    from openai.types.fine_tuning.job_create_params import JobCreateParams, Method
    from openai.types.fine_tuning.supervised_hyperparameters_param import SupervisedHyperparametersParam

    TypeAdapter(JobCreateParams).validate_python(body, strict=False)
    chosen = body.get("method", {}).get("supervised", {}).get("hyperparameters", {})
    for part, shape in ((body, JobCreateParams), (body.get("method", {}), Method)):
        assert part.keys() <= get_type_hints(shape).keys(), part.keys()
    assert chosen.keys() <= get_type_hints(SupervisedHyperparametersParam).keys()
    assert len(body.get("suffix", "")) <= 64
    metadata = body.get("metadata", {})
    assert len(metadata) <= 16
    assert all(len(key) <= 64 and len(value) <= 512 for key, value in metadata.items())


def check_answer(payload: dict[str, Any]) -> None:
    """An answer by the SDK's own models, strictly."""
    from openai.types import FileObject
    from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
    from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint

    by_name: dict[str, Any] = {
        "file": FileObject,
        "fine_tuning.job": FineTuningJob,
        "fine_tuning.job.event": FineTuningJobEvent,
        "fine_tuning.job.checkpoint": FineTuningJobCheckpoint,
    }
    for one in payload["data"] if payload.get("object") == "list" else [payload]:
        shape = by_name.get(one.get("object", ""))
        if shape is not None and "deleted" not in one:
            shape.model_validate(one, strict=True)


def _handler(vendor: Vendor, faults: Faults, key: str | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet for head and body: two would wait for each other

        def do_GET(self) -> None:
            self._serve(b"")

        def do_DELETE(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers.get("content-length", 0))))

        def _serve(self, data: bytes) -> None:
            url = urllib.parse.urlsplit(self.path)
            path = url.path.removeprefix("/v1")
            name = f"{self.command} " + re.sub(r"(?<=/)(file|ftjob)-\d+", "ID", path)
            with vendor.lock:
                before = vendor.requests[name]
                vendor.requests[name] += 1
                vendor.headers.append({header.lower(): value for header, value in self.headers.items()})
            fault = faults(name, before) or Fault()
            try:
                status, headers, payload = 200, {}, self._done(path, data, fault)
            except Refusal as refusal:
                status, headers = refusal.status, refusal.headers
                error = {"message": str(refusal), "type": "error", "param": None, "code": refusal.code}
                payload = json.dumps({"error": error}).encode()
            except Exception as error:  # told at the end of the test, which must not pass
                vendor.broken.append(f"{name}: {error!r}")
                raise
            time.sleep(fault.delay)
            if fault.hang_up:
                self.close_connection = True
                return
            self._send(status, headers, fault.raw if fault.raw is not None else payload)

        def _done(self, path: str, data: bytes, fault: Fault) -> bytes:
            given = self.headers.get("authorization")
            if key is not None and given != f"Bearer {key}":
                raise Refusal(401, f"Incorrect API key provided: {given}")
            bad_day = Refusal(fault.status or 0, "a bad day", code=fault.code, headers=fault.headers)
            if fault.status is not None and not fault.after:
                raise bad_day
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
            with vendor.lock:
                found = self._answer(path, query, data)
            check_answer(found)
            if fault.status is not None:
                raise bad_day
            return json.dumps(found).encode()

        def _answer(self, path: str, query: dict[str, str], data: bytes) -> dict[str, Any]:  # noqa: PLR0911
            parts = path.strip("/").split("/")
            match (self.command, *parts):
                case ("POST", "files"):
                    return vendor.upload(_form(self.headers["content-type"], data))
                case ("GET", "files"):
                    return _page(list(vendor.files.values())[::-1], query)
                case ("GET", "files", file):
                    return vendor.file(file)
                case ("DELETE", "files", file):
                    return vendor.delete(file)
                case ("POST", "fine_tuning", "jobs"):
                    return vendor.start(json.loads(data))
                case ("GET", "fine_tuning", "jobs"):
                    return _page(self._listed(query)[::-1], query)
                case ("GET", "fine_tuning", "jobs", job):
                    return vendor.job(job)
                case ("POST", "fine_tuning", "jobs", job, "cancel"):
                    return vendor.cancel(job)
                case ("GET", "fine_tuning", "jobs", job, "events"):
                    return _page(vendor.events[job][::-1], query)
                case ("GET", "fine_tuning", "jobs", job, "checkpoints"):
                    return _page(vendor.checkpoints(job), query)
                case ("POST", "chat", "completions"):
                    return vendor.complete(json.loads(data))
            raise Refusal(404, f"Unknown request URL: {self.command} {path}", code="unknown_url")

        def _listed(self, query: dict[str, str]) -> list[dict[str, Any]]:
            wanted = {name[9:-1]: value for name, value in query.items() if name.startswith("metadata[")}
            if not vendor.keeps_metadata or not vendor.filters:
                wanted = {}
            return [
                vendor.shown(name)
                for name, job in vendor.jobs.items()
                if all((job["metadata"] or {}).get(key) == value for key, value in wanted.items())
            ]

        def _send(self, status: int, headers: dict[str, str], payload: bytes) -> None:
            try:
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)
            except OSError:
                return  # the client has given up, or was killed

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _form(kind: str, data: bytes) -> dict[str, tuple[str | None, bytes]]:
    """The parts of a multipart body: name -> file name and content."""
    whole = message_from_bytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + data)
    parts = {}
    for part in whole.get_payload():
        name = part.get_param("name", header="content-disposition")
        parts[name] = (part.get_filename(), part.get_payload(decode=True))
    return parts


def _page(entries: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """A page by cursor; never longer than a few entries, so that pages matter."""
    start = 0
    if "after" in query:
        start = next(i for i, entry in enumerate(entries) if entry["id"] == query["after"]) + 1
    size = min(int(query.get("limit", PUBLISHED_PAGE)), 3)
    shown = entries[start : start + size]
    ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {}
    return {"object": "list", "data": shown, "has_more": start + size < len(entries), **ends}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def fake_vendor(
    faults: Faults = lambda _name, _before: None, *, key: str | None = None, **settings: Any
) -> Iterator[Vendor]:
    """A vendor on a free loopback port; `key` is the only one that it takes."""
    vendor = Vendor(**settings)
    server = _Server(("127.0.0.1", 0), _handler(vendor, faults, key))
    vendor.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert vendor.broken == []
