"""The backend that asks a server with the OpenAI API: vLLM, llama-server, `transformers serve`."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from extraction.errors import AssayError, DocumentError
from extraction.generate.backend import Generation
from extraction.generate.wire import data_url, portable, prompt_tokens, token_places, turn_content, without_loop

if TYPE_CHECKING:
    from extraction.contract import Contract
    from extraction.example import Example
    from extraction.families import Message
    from extraction.generate.wire import Images


# How servers say that prompt and answer together are too long.
_TOO_LONG = re.compile(r"context (?:length|size|window)|context_(?:length|size)|max_model_len", re.IGNORECASE)
# No tokenizer is at hand. Gemma's splits numbers into digits, and few words into less than three letters a token; on
# tables this counts 1.0 to 1.3 times its tokens, on prose up to 2.7 times.
_PIECE = re.compile(r"[A-Za-z]{1,3}|\s+|.", re.DOTALL)
_TURN = 8
# Tokens of an image: Gemma 3 makes 256 of each, Gemma 4 up to 280 unless told otherwise, both with marks around them.
# Models that take images at their own size make more of a large one.
_IMAGE = 300
# How long to wait before asking again for an example that is not ready, in seconds.
_PAUSE = 0.01


class ServerBackend:
    """A model behind an OpenAI-compatible server, behind the `Backend` protocol.

    Documents go to `url` and nowhere else: redirects are not followed, proxies from the environment are not used.
    The server must follow `response_format` (vLLM and llama-server do, `transformers serve` does not); what does not
    follow the schema is found when the record is built. The server's own chat template makes the prompt. Some models
    write blanks without end where the server's grammar allows any number of them: start vLLM with
    `--structured-outputs-config '{"disable_any_whitespace": true}'`.

    Images are sent as PNG in `image_url` parts, larger ones reduced to four million pixels. What the model sees of them
    is the server's doing; crops of a long page (`pan_and_scan`) are not sent, so a contract with them is refused.

    Args:
        url: the server's address, `http://localhost:8000/v1`; `/v1` is added where there is no path.
        model: its name there; may be left out, or be the model's local folder, where the server has only one.
        requests_in_flight: how many requests the server is given at once.
        timeout: seconds one answer may take; one that takes longer is asked for again.
        retries: how often a request is repeated after a lost connection, a timeout, 408, 409, 429 or 5xx, with
            growing pauses (half a second to eight, or what the server asks for).
        api_key: the server's key; else OPENAI_API_KEY, else none.
        temperature: 0 takes the most probable token.

    Attributes:
        url, model: as they are used.
        sees: whether it may be shown images; a server that takes none says so when it is asked.

    Raises:
        AssayError: openai is not installed, no server answers at `url`, it refuses the key, or lacks the model.
    """

    sees = True

    def __init__(
        self,
        url: str,
        model: str | Path | None = None,
        *,
        requests_in_flight: int = 8,
        timeout: float = 300.0,
        retries: int = 4,
        api_key: str | None = None,
        temperature: float = 0.0,
    ):
        # The openai package rather than bare HTTP: its retries are what would have to be written here, and of its
        # dependencies only two small ones do not come with transformers.
        try:
            import openai
        except ImportError:
            raise AssayError(
                "To ask a server, install the extra assay[server]: pip install -e '.[server]' in Assay's folder."
            ) from None
        self.url = _address(url)
        self._openai = openai
        self._in_flight, self._temperature = max(1, requests_in_flight), temperature
        self._client: dict[str, Any] = {
            "base_url": self.url,
            "api_key": api_key or os.environ.get("OPENAI_API_KEY") or "none",
            "max_retries": retries,
            "timeout": openai.Timeout(timeout, connect=min(timeout, 10.0)),
        }
        # None in `mounts` is the direct way: it takes the place of HTTP_PROXY and HTTPS_PROXY.
        self._http: dict[str, Any] = {"follow_redirects": False, "mounts": {"http://": None, "https://": None}}
        self._shown = False
        self.model = self._choose(None if model is None else str(model))

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """An estimate of a prompt's length in tokens, rather too long: a long document is then split earlier."""
        return sum(
            _TURN
            + sum(len(_PIECE.findall(part["text"])) if part["type"] == "text" else _IMAGE for part in turn["content"])
            for turn in messages
        )

    def generate(
        self, examples: Iterable[Example | None], contract: Contract
    ) -> Iterator[tuple[Example, int, Generation] | None]:
        """Ask the server for the answers of all branches, as many at once as it is given; see `Backend`.

        Closing the iterator gives up what is under way. Where the server is asked in vain for one example, or one of
        its images cannot be drawn, the answer is `refused`.

        Raises:
            AssayError: a request failed for good, and others would too; all are given up.
        """
        # An event loop in a thread of its own, not a pool of threads: requests that wait for the server can then be
        # given up at once, on an error as on Ctrl-C, and the server sees that nobody waits for them any more.
        from anyio.from_thread import start_blocking_portal

        running: dict[Future[Generation], tuple[Example, int]] = {}
        branches, more = _branches(examples), True
        client = self._openai.AsyncOpenAI(
            **self._client, http_client=self._openai.DefaultAsyncHttpxClient(**self._http)
        )
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(client):
            try:
                while more or running:
                    ready = True
                    while more and ready and len(running) < self._in_flight:
                        branch = next(branches, ())
                        more, ready = branch != (), branch is not None
                        if branch:
                            example, number, images = branch
                            future = portal.start_task_soon(self._ask, client, example, number, contract, images)
                            running[future] = example, number
                    if not ready:
                        yield None
                    if not running:
                        time.sleep(_PAUSE)
                    done, _ = wait(running, None if ready else _PAUSE, FIRST_COMPLETED)
                    if done:
                        future = done.pop()
                        yield *running.pop(future), future.result()
            finally:
                for future in running:
                    future.cancel()

    async def _ask(self, client: Any, example: Example, number: int, contract: Contract, images: Images) -> Generation:
        branch = example.branches[number]
        schema = contract.target_for(branch.schema).grammar_schema()
        (turn,) = contract.messages(example.context.parts, branch.parts)
        shown = sum(part["type"] == "image" for part in turn["content"])
        try:
            messages = [{"role": turn["role"], "content": await turn_content(turn["content"], images)}]
            body = await self._answer(client, messages, schema, contract.max_answer_tokens, shown)
            try:
                return self._generation(body)
            except DocumentError:
                raise
            except AssayError as error:
                fault = "answers with no chat completion for one document, though for others; its log says why."
                raise await self._alone(client, schema, fault, error) from None
        except DocumentError as error:
            return Generation("", "refused", message=str(error))

    async def _answer(self, client: Any, messages: Any, schema: Any, max_tokens: int, shown: int) -> bytes:
        try:
            body = await self._post(client, messages, schema, max_tokens)
            if shown and not self._shown:
                await self._check_shown(client, schema)
        except self._openai.APIStatusError as error:
            # llama-server fails (500) where it is shown an image that it cannot take.
            at_fault = error.status_code in (400, 422) or (shown and error.status_code >= 500)
            if at_fault and not _TOO_LONG.search(str(error.body)):
                raise await self._refusal(client, schema, shown, error) from None
            raise await self._whose(client, schema, error) from None
        except self._openai.OpenAIError as error:
            raise await self._whose(client, schema, error) from None
        return body

    async def _post(self, client: Any, messages: Any, schema: Any, max_tokens: int) -> bytes:
        record = {"name": "record", "schema": portable(schema), "strict": True}
        wanted = {} if schema is None else {"response_format": {"type": "json_schema", "json_schema": record}}
        response = await client.chat.completions.with_raw_response.create(
            model=self.model,
            messages=messages,
            max_tokens=max_tokens,
            temperature=self._temperature,
            **wanted,
            logprobs=True,
            # llama-server sends twenty alternatives a token unless told, and no probabilities at all for 0.
            top_logprobs=1,
        )
        return bytes(response.content)

    async def _refusal(self, client: Any, schema: Any, shown: int, error: Any) -> AssayError:
        """Why a request is not accepted; the server's words are shown only where they cannot quote the document.

        So it is asked with the same schema on nothing, then on as many white images as the request showed.
        """
        try:
            await self._try(client, schema)
        except self._openai.APIStatusError as again:
            body = again.body if isinstance(again.body, dict) else {}
            reason = str(body.get("message") or body.get("detail") or "it does not say why").split("\n")[0][:300]
            if again.status_code in (400, 422):
                return AssayError(f"{self.url} refuses requests with this schema ({again.status_code}): {reason}")
            return self._explain(again)
        except self._openai.OpenAIError as again:
            return self._explain(again)
        if shown:
            try:
                await self._try(client.with_options(max_retries=0), schema, shown)
            except self._openai.APIStatusError as again:
                if again.status_code == error.status_code:
                    return self._blind(f", or not {shown} at once" if shown > 1 else "")
            except self._openai.OpenAIError as again:
                return self._explain(again)
        return DocumentError(
            f"{self.url} refuses the request for one document ({error.status_code}) though not for others; "
            "its log says why."
        )

    async def _whose(self, client: Any, schema: Any, error: Exception) -> AssayError:
        """What is wrong, as one document's alone where the server answers another request at once."""
        explained, status = self._explain(error), getattr(error, "status_code", 500)
        if isinstance(explained, DocumentError) or status in _BY_STATUS or status < 500:
            return explained
        slow = isinstance(error, self._openai.APITimeoutError)
        fault = "does not answer in time" if slow else "fails, also when asked again,"
        remedy = "allow more time (timeout)" if slow else "its log says why"
        return await self._alone(client, schema, f"{fault} for one document, though for others; {remedy}.", explained)

    async def _alone(self, client: Any, schema: Any, fault: str, otherwise: AssayError) -> AssayError:
        try:
            self._generation(await self._try(client.with_options(max_retries=0), schema))
        except DocumentError:  # of an odd end, but an answer
            pass
        except (self._openai.OpenAIError, AssayError):
            return otherwise
        return DocumentError(f"{self.url} {fault}")

    async def _try(self, client: Any, schema: Any, images: int = 0) -> bytes:
        """Ask for one token on nothing, or on some white images."""
        from PIL import Image

        white = {"type": "image_url", "image_url": {"url": data_url(Image.new("RGB", (224, 224), "white"))}}
        content = [white] * images + [{"type": "text", "text": "{}"}] if images else "{}"
        return await self._post(client, [{"role": "user", "content": content}], schema, 1)

    async def _check_shown(self, client: Any, schema: Any) -> None:
        """Some servers leave out, without a word, images that their model cannot be shown: the prompt is no longer."""
        lengths = [prompt_tokens(await self._try(client, schema, images)) for images in (0, 1)]
        if lengths[0] is not None and lengths[0] == lengths[1]:
            raise self._blind()
        self._shown = True

    def _blind(self, several: str = "") -> AssayError:
        return AssayError(
            f"{self.url} takes no images with this model{several}; serve one that is shown images (llama-server with "
            "--mmproj), or show it text alone."
        )

    def _choose(self, model: str | None) -> str:
        """The name under which the server knows the model."""
        with self._openai.OpenAI(**self._client, http_client=self._openai.DefaultHttpxClient(**self._http)) as client:
            try:
                body = client.models.with_raw_response.list().content
            except self._openai.OpenAIError as error:
                raise self._explain(error) from None
        try:
            names = [str(entry["id"]) for entry in json.loads(body)["data"]]
        except (ValueError, LookupError, TypeError):
            raise self._garbage("a list of models") from None
        # `transformers serve` lists the hub's cache, not what it serves from a folder.
        if model and (model in names or not names):
            return model
        if len(names) == 1 and (model is None or Path(model).is_dir()):
            return names[0]
        if not names:
            raise AssayError(f"{self.url} lists no models; say which model to ask for.")
        listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
        if model is None:
            raise AssayError(f"{self.url} serves several models; name one of them: {listed}.")
        raise AssayError(f"{self.url} does not serve {model}; name one of its models: {listed}.")

    def _generation(self, body: bytes) -> Generation:
        try:
            choice = json.loads(body)["choices"][0]
            text, finish = choice["message"]["content"] or "", choice["finish_reason"]
            tokens = (choice.get("logprobs") or {}).get("content") or []
        except (ValueError, LookupError, TypeError, AttributeError):
            raise self._garbage("a chat completion") from None
        if not isinstance(text, str):
            raise self._garbage("a chat completion")
        if finish not in ("stop", "length"):
            raise DocumentError(
                f"{self.url} ended an answer with finish_reason {str(finish)[:40]!r}, so it may not be whole; "
                "switch off the server's filters and tools for this model."
            )
        if finish == "length" and (rest := without_loop(text)) < len(text):
            text, finish = text[:rest], "loop"
        offsets, logprobs = token_places(text, tokens)
        return Generation(text, finish, offsets, logprobs)

    def _garbage(self, wanted: str) -> AssayError:
        return AssayError(
            f"{self.url} answers with something else than {wanted}; give the address of an OpenAI-compatible server, "
            "which usually ends in /v1."
        )

    def _explain(self, error: Exception) -> AssayError:
        """One sentence for what the openai package raises; none of its own, which may quote the document."""
        if isinstance(error, self._openai.APITimeoutError):
            return AssayError(
                f"{self.url} does not answer in time, also when asked again; see that it runs, allow more time "
                "(timeout) or ask for less at once (requests_in_flight)."
            )
        status = getattr(error, "status_code", None)
        if status is None:
            return AssayError(f"No server can be reached at {self.url}; start it, or correct the address.")
        if status not in _BY_STATUS and status < 500 and _TOO_LONG.search(str(getattr(error, "body", ""))):
            return DocumentError(
                f"A document and its answer are longer than the context of the model at {self.url}; start the server "
                "with a longer one, or lower max_prompt_tokens and max_answer_tokens in the contract."
            )
        if status == 413:
            return DocumentError(
                f"{self.url} takes no requests of the size of a document's ({status}); allow larger ones there, or "
                "show less of it at once (max_prompt_tokens, dpi)."
            )
        said = _BY_STATUS.get(status) or _BY_CENTURY.get(status // 100, "refuses the request ({}); its log says why.")
        return AssayError(f"{self.url} {said.format(status)}")


_BY_STATUS = {
    **dict.fromkeys((401, 403), "does not accept the key ({}); set OPENAI_API_KEY to the server's."),
    404: "does not know the address or the model ({}); the address of an OpenAI-compatible server usually ends in /v1.",
    429: "stays overloaded ({}); ask for less at once (requests_in_flight).",
}
_BY_CENTURY = {
    3: "sends on to another address ({}); give that address itself.",
    5: "fails, also when asked again ({}); its log says why.",
}


def _branches(
    examples: Iterable[Example | None],
) -> Iterator[tuple[Example, int, Images] | None]:
    """All branches, each with its example, its number there and the images of the example."""
    for example in examples:
        if example is None:
            yield None
            continue
        images: Images = {}
        for number in range(len(example.branches)):
            yield example, number, images


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        whole = False
    if not whole or re.search(r"\s", url):
        raise AssayError(f"{url} is not the address of a server; give one like http://localhost:8000/v1.")
    return url.rstrip("/") + ("" if parts.path.strip("/") else "/v1")
