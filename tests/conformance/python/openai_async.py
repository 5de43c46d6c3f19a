"""The unmodified `openai` package, asynchronous."""

import asyncio

from openai import AsyncOpenAI

from report import check
from setting import API_KEY, BASE_URL, EMBEDDING_MODEL, MODEL

HELLO = [{"role": "user", "content": "Say hello."}]


def client():
    return AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)


@check("whole replies come")
async def whole():
    async with client() as openai:
        reply = await openai.chat.completions.create(model=MODEL, messages=HELLO)
    assert reply.choices[0].message.content and reply.usage.total_tokens > 0


@check("streams come, with usage when asked")
async def stream():
    async with client() as openai:
        pieces = await openai.chat.completions.create(
            model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in pieces]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert chunks[-1].usage.completion_tokens > 0


@check("twenty calls at once are each answered as they were asked")
async def many():
    async def ask(openai, number):
        messages = [{"role": "user", "content": f"Question {number}, tokens={number + 1}"}]
        if number % 2:
            reply = await openai.chat.completions.create(model=MODEL, messages=messages)
            return reply.choices[0].message.content
        pieces = await openai.chat.completions.create(model=MODEL, messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in pieces])

    async with client() as openai:
        answers = await asyncio.gather(*(ask(openai, number) for number in range(20)))
        again = await asyncio.gather(*(ask(openai, number) for number in range(20)))
    assert all(answers) and answers == again


@check("embeddings and models come")
async def rest():
    async with client() as openai:
        embedding = await openai.embeddings.create(model=EMBEDDING_MODEL, input="hello")
        names = [model.id async for model in openai.models.list()]
    assert embedding.data[0].embedding and MODEL in names
