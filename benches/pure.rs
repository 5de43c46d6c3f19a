//! `cargo bench --bench pure`: what the pure pieces cost a call, beside the same done with `serde_json`.

#![expect(
    clippy::expect_used,
    reason = "a bench may stop at a mistake of its own"
)]

#[path = "pure/booking.rs"]
mod booking;

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use serde_json::value::RawValue;
use synaxis::{
    catalog::{Dialect, Quirks},
    dialect::{Changes, Endpoint, StreamReader, read, splice, usage_of},
};

/// As in the binary.
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bodies of one short question, a conversation, and a long document.
const SIZES: [usize; 3] = [1_000, 10_000, 360_000];

/// A streaming chat call of about `size` bytes: prose with the escapes that JSON makes of it.
fn body(size: usize) -> Bytes {
    const SENTENCE: &str =
        "The quick brown fox said \"hello\" and jumped over the lazy dog;\nnaïve crêpes cost 3 €. ";
    let messages = (size / 2_000).max(1);
    let text = SENTENCE.repeat((size / messages).saturating_sub(100) / SENTENCE.len() + 1);
    let messages: Vec<_> = (0..messages)
        .map(|_| serde_json::json!({"role": "user", "content": text}))
        .collect();
    let body = serde_json::json!({
        "model": "demo-chat", "messages": messages, "temperature": 0.7, "max_tokens": 512, "stream": true, "user": "u-1",
    });
    Bytes::from(body.to_string())
}

/// What a derived parser would read: the fields at the top, the messages left raw.
#[derive(Deserialize)]
struct Derived<'a> {
    model: &'a str,
    #[serde(default)]
    stream: bool,
    max_tokens: Option<u64>,
    #[serde(borrow)]
    messages: &'a RawValue,
}

fn asks(criterion: &mut Criterion) {
    let quirks = Quirks::default();
    let changes = Changes {
        model: "up/stream-model",
        include_usage: true,
        output_limit: Some(256),
        quirks: &quirks,
    };
    let mut group = criterion.benchmark_group("ask");
    for size in SIZES {
        let body = body(size);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::new("read", size), &body, |bencher, body| {
            bencher.iter(|| read(Endpoint::ChatCompletions, black_box(body)).expect("a good body"));
        });
        let ask = read(Endpoint::ChatCompletions, &body).expect("a good body");
        group.bench_with_input(BenchmarkId::new("splice", size), &body, |bencher, body| {
            bencher.iter(|| splice(black_box(body), &ask, &changes));
        });
        group.bench_with_input(
            BenchmarkId::new("serde derived, messages unread", size),
            &body,
            |bencher, body| {
                bencher.iter(|| {
                    let derived: Derived<'_> =
                        serde_json::from_slice(black_box(body)).expect("a good body");
                    (
                        derived.model.len(),
                        derived.stream,
                        derived.max_tokens,
                        derived.messages.get().len(),
                    )
                });
            },
        );
        group.bench_with_input(
            BenchmarkId::new("serde value", size),
            &body,
            |bencher, body| {
                bencher.iter(|| {
                    serde_json::from_slice::<serde_json::Value>(black_box(body))
                        .expect("a good body")
                });
            },
        );
    }
    group.finish();
}

fn event(content: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,\"model\":\"demo-chat\",\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{content}\"}},\"logprobs\":null,\"finish_reason\":null}}],\"usage\":null}}\n\n"
    )
}

fn streams(criterion: &mut Criterion) {
    let usage = "data: {\"id\":\"chatcmpl-0\",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":12,\
                 \"completion_tokens\":20,\"total_tokens\":32,\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\ndata: [DONE]\n\n";
    let mut group = criterion.benchmark_group("stream");
    for events in [20, 200] {
        let one_by_one: Vec<Bytes> = (0..events)
            .map(|_| Bytes::from(event(" word")))
            .chain([Bytes::from(usage)])
            .collect();
        let joined = Bytes::from(one_by_one.concat());
        let halves: Vec<Bytes> = joined.chunks(100).map(Bytes::copy_from_slice).collect();
        group.throughput(Throughput::Elements(events));
        for (name, chunks) in [
            ("event by event", one_by_one),
            ("at once", vec![joined]),
            ("in pieces of 100 bytes", halves),
        ] {
            group.bench_with_input(
                BenchmarkId::new(name, events),
                &chunks,
                |bencher, chunks| {
                    let mut out = Vec::with_capacity(4);
                    bencher.iter(|| {
                        let mut reader =
                            StreamReader::new(Dialect::Openai, Endpoint::ChatCompletions, true);
                        for chunk in chunks {
                            reader.feed(black_box(chunk.clone()), &mut out);
                            out.clear();
                        }
                        reader.finish(&mut out);
                        reader.seen().usage.expect("usage was told")
                    });
                },
            );
        }
    }
    group.finish();
}

fn replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reply");
    for size in SIZES {
        let text = "word ".repeat(size / 5);
        let reply = serde_json::json!({
            "id": "chatcmpl-0", "object": "chat.completion",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 20, "total_tokens": 32},
        })
        .to_string();
        group.throughput(Throughput::Bytes(reply.len() as u64));
        group.bench_with_input(BenchmarkId::new("usage", size), &reply, |bencher, reply| {
            bencher.iter(|| {
                usage_of(
                    Dialect::Openai,
                    Endpoint::ChatCompletions,
                    black_box(reply.as_bytes()),
                )
                .expect("usage was told")
            });
        });
    }
    group.finish();
}

criterion_group!(pure, asks, streams, replies);
criterion_group!(written, booking::spooling, booking::logging);
criterion_main!(pure, written);
