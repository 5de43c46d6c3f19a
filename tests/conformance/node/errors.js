// Which error class of the package each refusal becomes.

import assert from "node:assert/strict";

import OpenAI from "openai";

import { Skipped, check } from "./report.js";
import { HELLO, IS_DIRECT, LIMITED_KEY, MODEL, client, limitedClient } from "./setting.js";

const openai = client();

async function refused(kind, call) {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof kind, String(error));
    return error;
  }
  return assert.fail(`no ${kind.name}`);
}

check("a wrong key is an AuthenticationError", async () => {
  const wrong = client({ apiKey: "sk-wrong" });
  for (const stream of [false, true]) {
    const call = () => wrong.chat.completions.create({ model: MODEL, messages: HELLO, stream });
    assert.equal((await refused(OpenAI.AuthenticationError, call)).code, "invalid_api_key");
  }
});

check("an unknown model is a NotFoundError that names its code", async () => {
  const call = () => openai.chat.completions.create({ model: "no-such-model-anywhere", messages: HELLO });
  assert.equal((await refused(OpenAI.NotFoundError, call)).code, "model_not_found");
});

check("what is wrong with a call is a BadRequestError that names the field", async () => {
  if (IS_DIRECT) throw new Skipped("the gateway's own checks");
  const call = () => openai.chat.completions.create({ model: MODEL, messages: HELLO, temperature: 9 });
  assert.equal((await refused(OpenAI.BadRequestError, call)).param, "temperature");
});

check("a limit reached is a RateLimitError that says when to come again", async () => {
  if (!LIMITED_KEY) throw new Skipped("SYNAXIS_LIMITED_KEY is not set");
  const limited = limitedClient();
  const untilRefused = async () => {
    for (let count = 0; count < 50; count += 1) {
      await limited.chat.completions.create({ model: MODEL, messages: HELLO, max_tokens: 1 });
    }
  };
  const error = await refused(OpenAI.RateLimitError, untilRefused);
  assert.ok(Number(error.headers.get("retry-after")) > 0);
});
