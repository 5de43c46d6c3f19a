//! A wire to Redis that writes down every script: when it was asked for, when it was answered, and both in full.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use redis::Value;
use synaxis::base::tasks::Tasks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
};

/// One command and its answer.
#[derive(Debug)]
pub struct Word {
    pub asked: Instant,
    pub answered: Instant,
    pub command: Vec<String>,
    pub answer: Value,
}

/// What was asked over one connection and not answered yet.
type Waiting = Arc<Mutex<VecDeque<(Instant, Vec<u8>)>>>;

/// Forwards connections and remembers what was said.
pub struct Recorder {
    address: SocketAddr,
    words: Arc<Mutex<Vec<Word>>>,
}

impl Recorder {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let words = Arc::default();
        let accepting = accept(listener, target, Arc::clone(&words));
        Tasks::default().spawn("recorder", accepting);
        Self { address, words }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Returns what was said so far.
    pub fn take(&self) -> Vec<Word> {
        std::mem::take(&mut *self.words.lock().expect("the words"))
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, words: Arc<Mutex<Vec<Word>>>) {
    let tasks = Tasks::default();
    while let Ok((near, _)) = listener.accept().await {
        let far = TcpStream::connect(target).await.expect("a Redis");
        for stream in [&near, &far] {
            stream.set_nodelay(true).expect("a socket");
        }
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        let waiting = Waiting::default();
        tasks.spawn("asks", ask(near_read, far_write, Arc::clone(&waiting)));
        tasks.spawn(
            "answers",
            answer(far_read, near_write, waiting, Arc::clone(&words)),
        );
    }
}

async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, waiting: Waiting) {
    let mut bytes = Vec::new();
    while from.read_buf(&mut bytes).await.is_ok_and(|read| 0 < read) {
        while let Some(length) = frame(&bytes) {
            let command: Vec<u8> = bytes.drain(..length).collect();
            let asked = (Instant::now(), command.clone());
            waiting.lock().expect("what waits").push_back(asked);
            if to.write_all(&command).await.is_err() {
                return;
            }
        }
    }
}

async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    waiting: Waiting,
    words: Arc<Mutex<Vec<Word>>>,
) {
    let mut bytes = Vec::new();
    while from.read_buf(&mut bytes).await.is_ok_and(|read| 0 < read) {
        while let Some(length) = frame(&bytes) {
            let answer: Vec<u8> = bytes.drain(..length).collect();
            let answered = Instant::now();
            let (asked, command) = waiting
                .lock()
                .expect("what waits")
                .pop_front()
                .expect("a question");
            words.lock().expect("the words").push(Word {
                asked,
                answered,
                command: texts(&command),
                answer: redis::parse_redis_value(&answer).expect("an answer"),
            });
            if to.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

fn texts(command: &[u8]) -> Vec<String> {
    let Ok(Value::Array(words)) = redis::parse_redis_value(command) else {
        panic!("not a command");
    };
    let text = |word: Value| redis::from_redis_value::<String>(word).expect("text");
    words.into_iter().map(text).collect()
}

/// Returns how long the first whole value is; nothing when it is not all there yet.
fn frame(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let count = || -> Option<usize> {
        let text = std::str::from_utf8(&bytes[1..line - 2]).expect("a length");
        text.parse().ok()
    };
    match bytes[0] {
        b'$' => {
            let length = count().map_or(line, |count| line + count + 2);
            (length <= bytes.len()).then_some(length)
        }
        b'*' => {
            let mut length = line;
            for _ in 0..count().unwrap_or(0) {
                length += frame(&bytes[length..])?;
            }
            Some(length)
        }
        _ => Some(line),
    }
}
