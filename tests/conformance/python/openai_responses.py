"""The responses interface of the unmodified `openai` package."""

import json

from openai import OpenAI

from report import check
from setting import API_KEY, BASE_URL, MODEL

CLIENT = OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)
TOOLS = [
    {
        "type": "function",
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "strict": False,
    }
]


@check("a whole response has text and usage that adds up")
def whole():
    response = CLIENT.responses.create(model=MODEL, input="Say hello.", instructions="Be brief.", max_output_tokens=30)
    assert response.status == "completed" and response.output_text
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


@check("a response takes a list of messages")
def messages():
    response = CLIENT.responses.create(
        model=MODEL,
        input=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "input_text", "text": "Say hello."}]},
        ],
    )
    assert response.output_text


@check("a streamed response tells its whole story in order")
def stream():
    kinds, text, last = [], "", None
    for position, event in enumerate(CLIENT.responses.create(model=MODEL, input="Say hello.", stream=True)):
        assert event.sequence_number == position
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            text += event.delta
        last = event
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    for kind in ("response.output_item.added", "response.content_part.added", "response.output_text.done"):
        assert kind in kinds, kind
    assert text == last.response.output_text and last.response.usage.output_tokens > 0


@check("the stream helper puts a whole response together")
def stream_helper():
    with CLIENT.responses.stream(model=MODEL, input="Say hello.") as events:
        for _ in events:
            pass
        response = events.get_final_response()
    assert response.output_text


@check("a tool is called, whole and in a stream")
def tools():
    ask = {"model": MODEL, "input": "Use the tool get_weather for Oslo.", "tools": TOOLS}
    call = CLIENT.responses.create(**ask).output[0]
    assert call.type == "function_call" and call.name == "get_weather"
    assert isinstance(json.loads(call.arguments)["city"], str)
    arguments = ""
    for event in CLIENT.responses.create(**ask, stream=True):
        if event.type == "response.function_call_arguments.delta":
            arguments += event.delta
    assert json.loads(arguments) == json.loads(call.arguments)
    response = CLIENT.responses.create(
        model=MODEL,
        tools=TOOLS,
        input=[
            {"role": "user", "content": ask["input"]},
            {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
            {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."},
        ],
    )
    assert response.output_text
