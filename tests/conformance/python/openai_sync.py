"""The unmodified `openai` package, synchronous."""

import json

from openai import OpenAI
from pydantic import BaseModel

from report import check
from setting import API_KEY, BASE_URL, EMBEDDING_MODEL, IS_DIRECT, MODEL

CLIENT = OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)
HELLO = [{"role": "user", "content": "Say hello."}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Tells the weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
    }
]


@check("a whole chat reply has text, a reason to stop, and usage that adds up")
def whole():
    reply = CLIENT.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=12)
    assert reply.object == "chat.completion"
    assert reply.choices[0].message.role == "assistant"
    assert reply.choices[0].message.content
    assert reply.choices[0].finish_reason in ("stop", "length")
    assert reply.usage.prompt_tokens > 0
    assert 0 < reply.usage.completion_tokens <= 12
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


@check("several choices are answered in one reply")
def several():
    reply = CLIENT.chat.completions.create(model=MODEL, messages=HELLO, n=3, max_tokens=5)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]


@check("a stream brings text piece by piece and no usage nobody asked for")
def stream():
    text, finish, usage = "", None, []
    for chunk in CLIENT.chat.completions.create(model=MODEL, messages=HELLO, stream=True):
        assert chunk.choices, "a chunk without choices reached a caller who did not ask for usage"
        text += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
        usage.append(chunk.usage)
    assert text and finish == "stop"
    assert not any(usage)


@check("a stream with include_usage ends with usage that adds up")
def stream_with_usage():
    chunks = list(
        CLIENT.chat.completions.create(
            model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    last = chunks[-1]
    assert last.choices == []
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert not any(chunk.usage for chunk in chunks[:-1])


@check("streamed and whole replies to one question are the same text")
def same_text():
    whole = CLIENT.chat.completions.create(model=MODEL, messages=HELLO, temperature=0)
    pieces = CLIENT.chat.completions.create(model=MODEL, messages=HELLO, temperature=0, stream=True)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in pieces)
    assert streamed == whole.choices[0].message.content


@check("the stream helper puts a whole reply together")
def stream_helper():
    with CLIENT.chat.completions.stream(model=MODEL, messages=HELLO) as events:
        for _ in events:
            pass
        reply = events.get_final_completion()
    assert reply.choices[0].message.content


@check("a forced tool is called with arguments that are JSON")
def forced_tool():
    reply = CLIENT.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
    )
    call = reply.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    assert reply.choices[0].finish_reason in ("tool_calls", "stop")


@check("a tool is called in a stream, and its result is taken back")
def tool_round():
    messages = [{"role": "user", "content": "Use the tool get_weather for Oslo."}]
    name, call_id, arguments = None, None, ""
    for chunk in CLIENT.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS, stream=True):
        for part in chunk.choices[0].delta.tool_calls or []:
            name = part.function.name or name
            call_id = part.id or call_id
            arguments += part.function.arguments or ""
    assert name == "get_weather" and call_id
    json.loads(arguments)
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    messages += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": "Sunny, 21 degrees."},
    ]
    reply = CLIENT.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
    assert reply.choices[0].message.content


@check("an answer held to a schema parses into it")
def schema():
    class Answer(BaseModel):
        city: str
        days: int

    reply = CLIENT.chat.completions.parse(model=MODEL, messages=HELLO, response_format=Answer)
    assert isinstance(reply.choices[0].message.parsed, Answer)


@check("an answer in JSON mode is JSON")
def json_mode():
    reply = CLIENT.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Answer in JSON."}],
        response_format={"type": "json_object"},
    )
    assert isinstance(json.loads(reply.choices[0].message.content), dict)


@check("text, pictures, names, unknown fields and every usual parameter pass through")
def everything_else():
    picture = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    reply = CLIENT.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "name": "ann",
                "content": [
                    {"type": "text", "text": "What is this? \u00e9\u4e2d\U0001f600 \"quoted\""},
                    {"type": "image_url", "image_url": {"url": picture, "detail": "low"}},
                ],
            },
        ],
        temperature=0.5,
        top_p=0.9,
        presence_penalty=0.1,
        stop=["END"],
        seed=7,
        user="user-1",
        metadata={"team": "a"},
        extra_body={"x_vendor": {"deep": [1, None, {"a": True}]}},
    )
    assert reply.choices[0].message.content


@check("the older completions answer whole and in a stream")
def completions():
    reply = CLIENT.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=7)
    assert reply.choices[0].text and reply.usage.completion_tokens <= 7
    chunks = list(CLIENT.completions.create(model=MODEL, prompt="Once", max_tokens=7, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)


@check("embeddings come as numbers, as base64, one and several")
def embeddings():
    one = CLIENT.embeddings.create(model=EMBEDDING_MODEL, input="hello")
    two = CLIENT.embeddings.create(model=EMBEDDING_MODEL, input=["hello", "world"], encoding_format="float")
    assert len(one.data) == 1 and len(two.data) == 2
    assert len(one.data[0].embedding) == len(two.data[0].embedding) > 0
    assert all(abs(a - b) < 1e-6 for a, b in zip(one.data[0].embedding, two.data[0].embedding))
    assert one.usage.prompt_tokens > 0


@check("models are listed and described")
def models():
    names = [model.id for model in CLIENT.models.list()]
    assert MODEL in names, names
    model = CLIENT.models.retrieve(MODEL)
    assert model.id == MODEL and model.object == "model"


@check("raw answers carry their headers")
def headers():
    raw = CLIENT.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    assert raw.headers["x-request-id"]
    assert raw.headers["content-type"].startswith("application/json")
    assert raw.parse().choices[0].message.content
    if not IS_DIRECT:
        for name in ("x-synaxis-provider", "x-synaxis-model", "x-synaxis-tier"):
            assert raw.headers[name], name
    with CLIENT.chat.completions.with_streaming_response.create(
        model=MODEL, messages=HELLO, stream=True
    ) as streamed:
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert streamed.headers["x-request-id"]
        lines = [line for line in streamed.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


@check("a caller who leaves a stream early can call again")
def leaves_early():
    many = [{"role": "user", "content": "Write tokens=500 please."}]
    for _ in range(3):
        stream = CLIENT.chat.completions.create(model=MODEL, messages=many, stream=True)
        next(iter(stream))
        stream.close()
    assert CLIENT.chat.completions.create(model=MODEL, messages=HELLO).choices
