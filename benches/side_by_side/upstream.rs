//! The provider behind every target: it answers at once, so that nothing but the target is measured.
//!
//! A thread per connection and blocking calls: the fewest system calls there are.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use memchr::memmem;

use crate::body;

/// Calls whose path begins so are Synaxis's; they are counted, to be compared with the books.
pub(crate) const COUNTED: &str = "/counted";
/// Where the count is read.
pub(crate) const COUNT: &str = "/count";

/// Largest request head.
const HEAD_BYTES: usize = 64 << 10;
/// How much of a body is looked at: model and `stream` stand first.
const LOOKED_AT: u64 = 256;

struct Upstream {
    whole: Vec<u8>,
    short: Vec<Vec<u8>>,
    long: Vec<Vec<u8>>,
    counted: AtomicU64,
}

/// What is known of a request once its head is read.
struct Head {
    body_bytes: u64,
    is_counted: bool,
    asks_count: bool,
    is_last: bool,
}

/// Serves until it is stopped.
pub(crate) fn run(listen: SocketAddr) -> anyhow::Result<ExitCode> {
    let upstream = Arc::new(Upstream {
        whole: body::whole_reply(),
        short: body::stream_reply(body::EVENTS),
        long: body::stream_reply(body::LONG_EVENTS),
        counted: AtomicU64::new(0),
    });
    let listener = TcpListener::bind(listen)?;
    loop {
        let (stream, _) = listener.accept()?;
        let upstream = Arc::clone(&upstream);
        // A peer that hangs up ends the thread; nobody needs to hear of it.
        thread::spawn(move || upstream.converse(stream));
    }
}

impl Upstream {
    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::with_capacity(HEAD_BYTES, stream.try_clone()?);
        while let Some(head) = read_head(&mut reader)? {
            if head.asks_count {
                return stream.write_all(&self.count());
            }
            let mut start = Vec::new();
            let looked_at = head.body_bytes.min(LOOKED_AT);
            reader.by_ref().take(looked_at).read_to_end(&mut start)?;
            if head.is_counted {
                self.counted.fetch_add(1, Ordering::Relaxed);
            }
            let rest = head.body_bytes - looked_at;
            io::copy(&mut reader.by_ref().take(rest), &mut io::sink())?;
            self.answer(&start, &mut stream)?;
            if head.is_last {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, start: &[u8], stream: &mut TcpStream) -> io::Result<()> {
        let says = |text: &str| memmem::find(start, text.as_bytes()).is_some();
        if !says(r#""stream":true"#) {
            return stream.write_all(&self.whole);
        }
        let writes = if says(body::LONG_MODEL) {
            &self.long
        } else {
            &self.short
        };
        writes.iter().try_for_each(|write| stream.write_all(write))
    }

    fn count(&self) -> Vec<u8> {
        let count = self.counted.load(Ordering::Relaxed).to_string();
        let length = count.len();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{count}").into_bytes()
    }
}

/// Reads up to the body; nothing when the peer has gone.
fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Head>> {
    let mut text: Vec<u8> = Vec::new();
    loop {
        let ready = reader.fill_buf()?;
        if ready.is_empty() {
            return Ok(None);
        }
        let seen = text.len();
        let taken = ready.len();
        text.extend_from_slice(ready);
        // The end may stand across two reads.
        if let Some(end) = memmem::find(&text, b"\r\n\r\n") {
            text.truncate(end);
            reader.consume(end + 4 - seen);
            return Ok(Some(head_of(&text)));
        }
        reader.consume(taken);
    }
}

fn head_of(text: &[u8]) -> Head {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines();
    let path = lines
        .next()
        .unwrap_or_default()
        .split(' ')
        .nth(1)
        .unwrap_or_default();
    let mut head = Head {
        body_bytes: 0,
        is_counted: path.starts_with(COUNTED),
        asks_count: path == COUNT,
        is_last: false,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.body_bytes = value.parse().unwrap_or_default();
        } else if name.eq_ignore_ascii_case("connection") {
            head.is_last = value.eq_ignore_ascii_case("close");
        }
    }
    head
}
