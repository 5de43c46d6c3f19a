"""Which exception of the `openai` package each refusal becomes."""

import openai
from openai import OpenAI

from report import Skipped, check
from setting import API_KEY, BASE_URL, IS_DIRECT, LIMITED_BASE_URL, LIMITED_KEY, MODEL

CLIENT = OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)
HELLO = [{"role": "user", "content": "Say hello."}]


def refused(kind, call):
    try:
        call()
    except kind as error:
        assert type(error) is kind, type(error)
        assert error.message and error.response.headers["content-type"].startswith("application/json")
        return error
    raise AssertionError(f"no {kind.__name__}")


@check("a wrong key is an AuthenticationError")
def wrong_key():
    wrong = CLIENT.with_options(api_key="sk-wrong")
    for stream in (False, True):
        error = refused(
            openai.AuthenticationError,
            lambda: wrong.chat.completions.create(model=MODEL, messages=HELLO, stream=stream),
        )
        assert error.code == "invalid_api_key"


@check("an unknown model is a NotFoundError that names its code")
def unknown_model():
    error = refused(
        openai.NotFoundError,
        lambda: CLIENT.chat.completions.create(model="no-such-model-anywhere", messages=HELLO),
    )
    assert error.code == "model_not_found"
    refused(openai.NotFoundError, lambda: CLIENT.models.retrieve("no-such-model-anywhere"))


@check("what is wrong with a call is a BadRequestError that names the field")
def wrong_calls():
    if IS_DIRECT:
        raise Skipped("the gateway's own checks")
    for param, arguments in [
        ("temperature", {"temperature": 9}),
        ("top_p", {"top_p": 2}),
        ("n", {"n": 1_000}),
        ("max_tokens", {"max_tokens": 0}),
        ("messages", {"messages": []}),
        ("messages[0].role", {"messages": [{"role": "king", "content": "x"}]}),
        ("stream", {"extra_body": {"stream": "yes"}}),
        ("tools", {"extra_body": {"tools": "none"}}),
    ]:
        call = {"model": MODEL, "messages": HELLO, **arguments}
        error = refused(openai.BadRequestError, lambda: CLIENT.chat.completions.create(**call))
        assert error.param == param, (error.param, param)
        assert error.type == "invalid_request_error", error.type


@check("a body that is no JSON is a BadRequestError")
def broken_body():
    error = refused(
        openai.BadRequestError,
        lambda: CLIENT.post(
            "/chat/completions", cast_to=object, content=b"{\"model\":", options={"headers": {"content-type": "application/json"}}
        ),
    )
    assert error.status_code == 400


@check("a limit reached is a RateLimitError that says when to come again")
def limited():
    if not LIMITED_KEY:
        raise Skipped("SYNAXIS_LIMITED_KEY is not set")
    client = OpenAI(base_url=LIMITED_BASE_URL, api_key=LIMITED_KEY, max_retries=0)

    def until_refused():
        for _ in range(50):
            client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=1)

    error = refused(openai.RateLimitError, until_refused)
    assert float(error.response.headers["retry-after"]) > 0
    assert error.code in ("rate_limit_exceeded", "budget_exceeded"), error.code
