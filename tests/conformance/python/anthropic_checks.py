"""The unmodified `anthropic` package, where a provider speaks its language."""

import anthropic
from anthropic import Anthropic, AsyncAnthropic

from report import Skipped, check
from setting import ANTHROPIC_MODEL, API_KEY, BASE_URL

HELLO = [{"role": "user", "content": "Say hello."}]
TOOLS = [
    {
        "name": "get_weather",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]


def settings():
    if not ANTHROPIC_MODEL:
        raise Skipped("SYNAXIS_ANTHROPIC_MODEL is not set")
    return {"base_url": BASE_URL.removesuffix("/v1"), "api_key": API_KEY, "max_retries": 0}


@check("a whole message has text and usage")
def whole():
    client = Anthropic(**settings())
    message = client.messages.create(model=ANTHROPIC_MODEL, max_tokens=30, system="Be brief.", messages=HELLO)
    assert message.content[0].text and message.stop_reason in ("end_turn", "max_tokens")
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0


@check("a limit of tokens is the reason to stop")
def limit():
    client = Anthropic(**settings())
    message = client.messages.create(model=ANTHROPIC_MODEL, max_tokens=3, messages=HELLO)
    assert message.stop_reason == "max_tokens" and message.usage.output_tokens <= 3


@check("a stream brings text and the whole message")
def stream():
    client = Anthropic(**settings())
    with client.messages.stream(model=ANTHROPIC_MODEL, max_tokens=30, messages=HELLO) as events:
        text = "".join(events.text_stream)
        message = events.get_final_message()
    assert text and text == message.content[0].text and message.usage.output_tokens > 0


@check("an asynchronous stream brings the same")
async def async_stream():
    async with AsyncAnthropic(**settings()) as client:
        async with client.messages.stream(model=ANTHROPIC_MODEL, max_tokens=30, messages=HELLO) as events:
            message = await events.get_final_message()
    assert message.content[0].text


@check("a tool is called, whole and in a stream")
def tools():
    client = Anthropic(**settings())
    ask = {
        "model": ANTHROPIC_MODEL,
        "max_tokens": 100,
        "tools": TOOLS,
        "tool_choice": {"type": "tool", "name": "get_weather"},
        "messages": HELLO,
    }
    call = client.messages.create(**ask).content[0]
    assert call.type == "tool_use" and isinstance(call.input["city"], str)
    with client.messages.stream(**ask) as events:
        streamed = events.get_final_message().content[0]
    assert streamed.input == call.input


@check("a wrong key is an AuthenticationError, an unknown model a NotFoundError")
def refusals():
    client = Anthropic(**settings())
    for kind, who, model in [
        (anthropic.AuthenticationError, client.with_options(api_key="sk-wrong"), ANTHROPIC_MODEL),
        (anthropic.NotFoundError, client, "no-such-model-anywhere"),
    ]:
        try:
            who.messages.create(model=model, max_tokens=5, messages=HELLO)
        except kind as error:
            assert error.body["type"] == "error" and error.body["error"]["message"]
        else:
            raise AssertionError(f"no {kind.__name__}")
