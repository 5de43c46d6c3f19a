"""The unmodified `langchain-openai` package."""

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from report import check
from setting import API_KEY, BASE_URL, EMBEDDING_MODEL, MODEL


def chat(**more):
    return ChatOpenAI(base_url=BASE_URL, api_key=API_KEY, model=MODEL, max_retries=0, **more)


@tool
def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"Sunny in {city}."


@check("invoke brings a message with usage")
def invoke():
    reply = chat(temperature=0).invoke([SystemMessage("Be brief."), HumanMessage("Say hello.")])
    assert isinstance(reply, AIMessage) and reply.content
    assert reply.usage_metadata["total_tokens"] > 0


@check("stream brings pieces, and usage when asked")
def stream():
    pieces = list(chat(stream_usage=True).stream("Say hello."))
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    assert whole.content and whole.usage_metadata["output_tokens"] > 0


@check("ainvoke and astream bring the same")
async def asynchronous():
    model = chat(temperature=0)
    whole = await model.ainvoke("Say hello.")
    streamed = "".join([piece.content async for piece in model.astream("Say hello.")])
    assert streamed == whole.content


@check("a bound tool is called and its result taken back")
def tools():
    model = chat().bind_tools([get_weather])
    question = HumanMessage("Use the tool get_weather for Oslo.")
    call = model.invoke([question])
    assert call.tool_calls[0]["name"] == "get_weather"
    result = ToolMessage(get_weather.invoke(call.tool_calls[0]["args"]), tool_call_id=call.tool_calls[0]["id"])
    assert model.invoke([question, call, result]).content


@check("structured output parses into its model")
def structured():
    class Answer(BaseModel):
        city: str
        days: int

    for method in ("json_schema", "function_calling"):
        answer = chat().with_structured_output(Answer, method=method).invoke("Where?")
        assert isinstance(answer, Answer), method


@check("batches come")
def batch():
    replies = chat().batch(["one", "two", "three"])
    assert len(replies) == 3 and all(reply.content for reply in replies)


@check("the responses interface comes")
def responses():
    reply = chat(use_responses_api=True).invoke("Say hello.")
    assert reply.text


@check("embeddings of queries and documents come")
def embeddings():
    # Without this the package cuts texts into tokens by a table it must download.
    model = OpenAIEmbeddings(
        base_url=BASE_URL, api_key=API_KEY, model=EMBEDDING_MODEL, check_embedding_ctx_length=False, max_retries=0
    )
    assert model.embed_query("hello")
    assert len(model.embed_documents(["hello", "world"])) == 2
