//! An answer as it will be played: its head, and what is sent, waited for and broken off after it. Pure.

use std::time::Duration;

use bytes::Bytes;

use super::{
    answer::{Answer, Event, Refusal, body_of_shape, event_of_error},
    fault::{Break, Effect, Instead, Shape},
    text::count,
};
use crate::dialect::Endpoint;

/// How much of a flood is one piece.
const FLOOD_PIECE: usize = 64 * 1_024;

/// How long what was written before may take to leave before the connection breaks.
const BEFORE_A_BREAK: Duration = Duration::from_millis(20);

/// One act of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Send { bytes: Bytes, tokens: u64 },
    Pause(Duration),
    Stall,
    Cut,
    Reset,
}

/// How an answer begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
    },
    Hang,
    Cut,
    Reset,
}

/// An answer as it will be played.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) before_head: Duration,
    pub(super) head: Head,
    pub(super) steps: Vec<Step>,
}

/// How fast a provider answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) latency: Duration,
    pub(super) tokens_per_second: u64,
}

impl Pace {
    fn of(&self, tokens: u64) -> Duration {
        match tokens
            .saturating_mul(1_000_000)
            .checked_div(self.tokens_per_second)
        {
            Some(micros) => Duration::from_micros(micros),
            None => Duration::ZERO,
        }
    }
}

/// Makes the script of a refusal.
pub(super) fn refusal(
    refusal: &Refusal,
    shape: Shape,
    request_id: &str,
    latency: Duration,
) -> Script {
    let (body, content_type) = body_of_shape(refusal, shape, request_id);
    let mut headers = vec![
        ("content-type", content_type.to_owned()),
        ("content-length", body.len().to_string()),
    ];
    headers.extend(
        refusal
            .retry_after
            .map(|seconds| ("retry-after", seconds.to_string())),
    );
    Script {
        before_head: latency,
        head: Head::Answer {
            status: refusal.status,
            headers,
        },
        steps: vec![Step::Send {
            bytes: body.into(),
            tokens: 0,
        }],
    }
}

/// Makes the script of an answer, with what goes wrong in it.
pub(super) fn answer(endpoint: Endpoint, answer: Answer, effect: &Effect, pace: Pace) -> Script {
    let before_head = pace.latency + effect.slow;
    match answer {
        Answer::Whole { body, tokens } => whole(
            body.to_string(),
            tokens,
            effect,
            Pace {
                latency: before_head,
                ..pace
            },
        ),
        Answer::Stream(events) => Script {
            before_head,
            head: head("text/event-stream; charset=utf-8", None, effect),
            steps: Stream {
                endpoint,
                effect,
                pace,
            }
            .steps(events),
        },
    }
}

/// Makes the script of what comes instead of an answer.
pub(super) fn instead(
    instead: &Instead,
    effect: &Effect,
    endpoint: Endpoint,
    is_stream: bool,
    latency: Duration,
) -> Script {
    let own_shape = if endpoint == Endpoint::Messages {
        Shape::Anthropic
    } else {
        Shape::Openai
    };
    let shape = effect.shape.unwrap_or(own_shape);
    let broken = |head| Script {
        before_head: latency + effect.slow,
        head,
        steps: Vec::new(),
    };
    match instead {
        Instead::Refuse | Instead::Reset => broken(Head::Reset),
        Instead::CutBefore => broken(Head::Cut),
        Instead::Hang => broken(Head::Hang),
        Instead::Status(status) => refusal(
            &Refusal::of_status(*status, effect.retry_after),
            shape,
            "simulated",
            latency + effect.slow,
        ),
        Instead::Error200 => {
            let mut error = Refusal::of_status(529, None);
            error.status = 200;
            refusal(&error, shape, "simulated", latency + effect.slow)
        }
        Instead::Garbage => {
            let (content_type, body) = match is_stream {
                true => ("text/event-stream", &b"data: {\"choices\": [{\xff\xfe\n\ndata: <html>\x00</html>\r\n\r\ngarbage\n\n"[..]),
                false => ("application/json", &b"{\"choices\": [{\"message\": \xff\xfe\x00 <html>"[..]),
            };
            Script {
                head: head(content_type, Some(body.len()), &Effect::default()),
                steps: vec![Step::Send {
                    bytes: Bytes::from_static(body),
                    tokens: 0,
                }],
                ..broken(Head::Hang)
            }
        }
        Instead::Redirect(url) => {
            let headers = vec![
                ("location", url.clone()),
                ("content-length", "0".to_owned()),
            ];
            broken(Head::Answer {
                status: 302,
                headers,
            })
        }
    }
}

fn head(content_type: &str, length: Option<usize>, effect: &Effect) -> Head {
    let mut headers = vec![("content-type", content_type.to_owned())];
    headers.extend(length.map(|length| ("content-length", length.to_string())));
    if effect.is_gzip {
        headers.push(("content-encoding", "gzip".to_owned()));
    }
    Head::Answer {
        status: 200,
        headers,
    }
}

fn whole(body: String, tokens: u64, effect: &Effect, pace: Pace) -> Script {
    let mut body = body.into_bytes();
    if 0 < effect.flood_mb {
        body.extend(std::iter::repeat_n(b' ', effect.flood_mb << 20));
    }
    if effect.is_gzip {
        body = gzip(&body);
    }
    let body = Bytes::from(body);
    let broken = effect
        .breaks
        .map(|(how, tenths)| (how, body.len() * tenths.min(10) / 10));
    let mut steps = Vec::new();
    match broken {
        None => steps.push(Step::Send {
            bytes: body.clone(),
            tokens,
        }),
        Some((how, length)) => {
            steps.push(Step::Send {
                bytes: body.slice(..length),
                tokens,
            });
            steps.extend(broken_off(how, None));
        }
    }
    Script {
        before_head: pace.latency + pace.of(tokens),
        head: head("application/json", Some(body.len()), effect),
        steps,
    }
}

fn broken_off(how: Break, error: Option<Vec<u8>>) -> Vec<Step> {
    match how {
        Break::Cut => vec![Step::Pause(BEFORE_A_BREAK), Step::Cut],
        Break::Reset => vec![Step::Pause(BEFORE_A_BREAK), Step::Reset],
        Break::Stall => vec![Step::Stall],
        Break::Error => match error {
            Some(event) => vec![Step::Send {
                bytes: event.into(),
                tokens: 0,
            }],
            None => vec![Step::Pause(BEFORE_A_BREAK), Step::Cut],
        },
    }
}

struct Stream<'a> {
    endpoint: Endpoint,
    effect: &'a Effect,
    pace: Pace,
}

impl Stream<'_> {
    fn steps(&self, events: Vec<Event>) -> Vec<Step> {
        let after = self.effect.breaks.map_or(usize::MAX, |(_, after)| after);
        let mut steps = Vec::new();
        let position_of_content = events
            .iter()
            .position(|event| 0 < event.tokens)
            .unwrap_or_default();
        for (position, event) in events.iter().enumerate().take(after) {
            if event.is_last && self.effect.is_endless {
                break;
            }
            if position == position_of_content {
                steps.extend(self.excess(event));
            }
            let pause = self.pace.of(event.tokens) + self.effect.gap;
            if !pause.is_zero() {
                steps.push(Step::Pause(pause));
            }
            let is_end = position + 1 == events.len();
            steps.push(Step::Send {
                bytes: self.written(event, position, is_end).into(),
                tokens: event.tokens,
            });
        }
        if let Some((how, _)) = self.effect.breaks {
            steps.extend(broken_off(how, Some(event_of_error(self.endpoint))));
        }
        if self.effect.is_gzip {
            packed(&steps)
        } else {
            steps
        }
    }

    /// A flood of events, or one very long one.
    fn excess(&self, event: &Event) -> Vec<Step> {
        let mut steps = Vec::new();
        if 0 < self.effect.flood_mb {
            let events = self.written(event, 1, false);
            let piece = Bytes::from(events.repeat(FLOOD_PIECE.div_ceil(events.len().max(1))));
            let tokens = count(piece.len() / events.len().max(1)) * event.tokens;
            let pieces = (self.effect.flood_mb << 20).div_ceil(piece.len().max(1));
            steps.extend(std::iter::repeat_n(
                Step::Send {
                    bytes: piece,
                    tokens,
                },
                pieces,
            ));
        }
        if 0 < self.effect.long_line_mb {
            let mut line = b"data: ".to_vec();
            line.extend(std::iter::repeat_n(b'x', self.effect.long_line_mb << 20));
            line.extend_from_slice(b"\n\n");
            steps.push(Step::Send {
                bytes: line.into(),
                tokens: 0,
            });
        }
        steps
    }

    fn written(&self, event: &Event, position: usize, is_end: bool) -> Vec<u8> {
        if !self.effect.has_odd_lines {
            return frame(event, "\n", true);
        }
        let ending = match position % 3 {
            0 => "\r\n",
            1 => "\n",
            _ => "\r",
        };
        let mut bytes = format!(": comment {position}{ending}{ending}").into_bytes();
        bytes.extend(frame(event, ending, !is_end));
        bytes
    }
}

fn frame(event: &Event, ending: &str, has_blank: bool) -> Vec<u8> {
    let mut frame = String::with_capacity(event.data.len() + 32);
    if let Some(name) = event.name {
        frame.push_str("event: ");
        frame.push_str(name);
        frame.push_str(ending);
    }
    frame.push_str("data: ");
    frame.push_str(&event.data);
    frame.push_str(ending);
    if has_blank {
        frame.push_str(ending);
    }
    frame.into_bytes()
}

/// Packs what is sent as members of one gzip file after the other, which is one gzip file.
fn packed(steps: &[Step]) -> Vec<Step> {
    let pack = |step: &Step| match step {
        Step::Send { bytes, tokens } => Step::Send {
            bytes: gzip(bytes).into(),
            tokens: *tokens,
        },
        other => other.clone(),
    };
    steps.iter().map(pack).collect()
}

/// Wraps bytes as gzip without making them smaller: blocks of deflate that are stored as they are.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = bytes.chunks(usize::from(u16::MAX)).peekable();
    if blocks.peek().is_none() {
        packed.extend_from_slice(&[1, 0, 0, 255, 255]);
    }
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        packed.push(u8::from(blocks.peek().is_none()));
        packed.extend_from_slice(&length.to_le_bytes());
        packed.extend_from_slice(&(!length).to_le_bytes());
        packed.extend_from_slice(block);
    }
    packed.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    let length = u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or_default();
    packed.extend_from_slice(&length.to_le_bytes());
    packed
}
