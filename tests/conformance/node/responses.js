// The responses interface.

import assert from "node:assert/strict";

import { check } from "./report.js";
import { MODEL, client } from "./setting.js";

const openai = client();

check("a whole response has text and usage that adds up", async () => {
  const response = await openai.responses.create({ model: MODEL, input: "Say hello." });
  assert.equal(response.status, "completed");
  assert.ok(response.output_text);
  assert.equal(response.usage.total_tokens, response.usage.input_tokens + response.usage.output_tokens);
});

check("a streamed response tells its whole story in order", async () => {
  let text = "";
  const events = [];
  for await (const event of await openai.responses.create({ model: MODEL, input: "Say hello.", stream: true })) {
    assert.equal(event.sequence_number, events.length);
    events.push(event);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  assert.equal(events[0].type, "response.created");
  assert.equal(events.at(-1).type, "response.completed");
  assert.equal(events.at(-1).response.output[0].content[0].text, text);
});

check("the stream helper puts a whole response together", async () => {
  const response = await openai.responses.stream({ model: MODEL, input: "Say hello." }).finalResponse();
  assert.ok(response.output_text);
});

check("a tool is called", async () => {
  const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  const tools = [{ type: "function", name: "get_weather", parameters, strict: false }];
  const response = await openai.responses.create({ model: MODEL, input: "Use the tool get_weather for Oslo.", tools });
  assert.equal(response.output[0].type, "function_call");
  assert.equal(typeof JSON.parse(response.output[0].arguments).city, "string");
});
