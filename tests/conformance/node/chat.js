// Chat, completions, embeddings and models.

import assert from "node:assert/strict";

import { check } from "./report.js";
import { EMBEDDING_MODEL, HELLO, IS_DIRECT, MODEL, client } from "./setting.js";

const openai = client();
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];

check("a whole chat reply has text and usage that adds up", async () => {
  const reply = await openai.chat.completions.create({ model: MODEL, messages: HELLO, max_tokens: 12 });
  assert.ok(reply.choices[0].message.content);
  assert.ok(reply.usage.completion_tokens <= 12);
  assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens);
});

check("a stream brings text piece by piece and no usage nobody asked for", async () => {
  let text = "";
  for await (const chunk of await openai.chat.completions.create({ model: MODEL, messages: HELLO, stream: true })) {
    assert.equal(chunk.choices.length, 1);
    assert.ok(!chunk.usage);
    text += chunk.choices[0].delta.content ?? "";
  }
  assert.ok(text);
});

check("a stream with include_usage ends with usage that adds up", async () => {
  const options = { model: MODEL, messages: HELLO, stream: true, stream_options: { include_usage: true } };
  const chunks = [];
  for await (const chunk of await openai.chat.completions.create(options)) chunks.push(chunk);
  const { choices, usage } = chunks.at(-1);
  assert.deepEqual(choices, []);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
});

check("the stream helper puts a whole reply together", async () => {
  const reply = await openai.chat.completions.stream({ model: MODEL, messages: HELLO }).finalChatCompletion();
  assert.ok(reply.choices[0].message.content);
});

check("a forced tool is called with arguments that are JSON", async () => {
  const tool_choice = { type: "function", function: { name: "get_weather" } };
  const reply = await openai.chat.completions.create({ model: MODEL, messages: HELLO, tools, tool_choice });
  const [call] = reply.choices[0].message.tool_calls;
  assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
});

check("a tool is called in a stream, and its result is taken back", async () => {
  const messages = [{ role: "user", content: "Use the tool get_weather for Oslo." }];
  const called = await openai.chat.completions.stream({ model: MODEL, messages, tools }).finalMessage();
  const [call] = called.tool_calls;
  JSON.parse(call.function.arguments);
  messages.push(called, { role: "tool", tool_call_id: call.id, content: "Sunny." });
  const reply = await openai.chat.completions.create({ model: MODEL, messages, tools });
  assert.ok(reply.choices[0].message.content);
});

check("an answer in JSON mode is JSON", async () => {
  const messages = [{ role: "user", content: "Answer in JSON." }];
  const reply = await openai.chat.completions.create({ model: MODEL, messages, response_format: { type: "json_object" } });
  assert.equal(typeof JSON.parse(reply.choices[0].message.content), "object");
});

check("the older completions answer whole and in a stream", async () => {
  const ask = { model: MODEL, prompt: "Once upon a time", max_tokens: 7 };
  const reply = await openai.completions.create(ask);
  assert.ok(reply.choices[0].text && reply.usage.completion_tokens <= 7);
  let text = "";
  for await (const chunk of await openai.completions.create({ ...ask, stream: true })) text += chunk.choices[0]?.text ?? "";
  assert.equal(text, reply.choices[0].text);
});

check("embeddings come as numbers and as base64", async () => {
  const packed = await openai.embeddings.create({ model: EMBEDDING_MODEL, input: "hello" });
  const plain = await openai.embeddings.create({ model: EMBEDDING_MODEL, input: ["hello", "world"], encoding_format: "float" });
  assert.equal(plain.data.length, 2);
  assert.equal(packed.data[0].embedding.length, plain.data[0].embedding.length);
  assert.ok(Math.abs(packed.data[0].embedding[0] - plain.data[0].embedding[0]) < 1e-6);
});

check("models are listed and described", async () => {
  const names = [];
  for await (const model of await openai.models.list()) names.push(model.id);
  assert.ok(names.includes(MODEL), names.join());
  assert.equal((await openai.models.retrieve(MODEL)).id, MODEL);
});

check("raw answers carry their headers", async () => {
  const { data, response, request_id } = await openai.chat.completions.create({ model: MODEL, messages: HELLO }).withResponse();
  assert.ok(data.choices[0].message.content);
  assert.ok(request_id && response.headers.get("x-request-id") === request_id);
  if (!IS_DIRECT) assert.ok(response.headers.get("x-synaxis-provider"));
});

check("a caller who leaves a stream early can call again", async () => {
  const messages = [{ role: "user", content: "Write tokens=500 please." }];
  const stream = await openai.chat.completions.create({ model: MODEL, messages, stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    break;
  }
  assert.ok((await openai.chat.completions.create({ model: MODEL, messages: HELLO })).choices.length);
});

check("twenty calls at once are each answered as they were asked", async () => {
  const ask = async (number) => {
    const messages = [{ role: "user", content: `Question ${number}, tokens=${number + 1}` }];
    const reply = await openai.chat.completions.create({ model: MODEL, messages });
    return reply.choices[0].message.content;
  };
  const all = () => Promise.all(Array.from({ length: 20 }, (_, number) => ask(number)));
  assert.deepEqual(await all(), await all());
});
