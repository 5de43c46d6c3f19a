//! A wire to Redis that loses answers, or carries what was said before later than what was said after.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use synaxis::base::tasks::Tasks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::timeout,
};

/// How long what is kept back is listened to: long enough for one call, too short for its caller's second thoughts.
const KEPT: Duration = Duration::from_millis(150);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_deaf: bool,
    /// What comes over connections before this one waits.
    late_before: u64,
    /// Connections before this one end.
    cut_before: u64,
}

/// Forwards connections as it is told.
pub struct Wire {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    made: Arc<AtomicU64>,
}

impl Wire {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(watch::Sender::new(State::default()));
        let made = Arc::new(AtomicU64::new(0));
        let accepting = accept(listener, target, state.subscribe(), Arc::clone(&made));
        Tasks::default().spawn("wire", accepting);
        Self {
            address,
            state,
            made,
        }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub fn lose_answers(&self) {
        self.state.send_modify(|state| state.is_deaf = true);
    }

    /// Keeps back what comes now over the connections there are; newer ones are not kept back.
    pub fn keep_back(&self) {
        let made = self.connections();
        self.state.send_modify(|state| state.late_before = made);
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// Ends the connections there are.
    pub fn cut(&self) {
        let made = self.connections();
        self.state.send_modify(|state| state.cut_before = made);
    }

    /// Carries everything again, and what was kept back.
    pub fn mend(&self) {
        self.state.send_modify(|state| {
            state.is_deaf = false;
            state.late_before = 0;
        });
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    state: watch::Receiver<State>,
    made: Arc<AtomicU64>,
) {
    let tasks = Tasks::default();
    while let Ok((near, _)) = listener.accept().await {
        let number = made.fetch_add(1, Ordering::SeqCst);
        let Ok(far) = TcpStream::connect(target).await else {
            continue;
        };
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        tasks.spawn("up", up(near_read, far_write, state.clone(), number));
        tasks.spawn("down", down(far_read, near_write, state.clone(), number));
    }
}

async fn up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    number: u64,
) {
    let mut bytes = [0; 65_536];
    loop {
        let length = tokio::select! {
            read = from.read(&mut bytes) => read.unwrap_or_default(),
            _ = state.wait_for(|state| number < state.cut_before) => return,
        };
        if number < state.borrow().late_before {
            return say_late(from, to, state, number, bytes[..length].to_vec()).await;
        }
        if length == 0 || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

/// Carries what came first when it is no longer kept back, and nothing after it.
async fn say_late(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    number: u64,
    mut kept: Vec<u8>,
) {
    let _ = timeout(KEPT, from.read_to_end(&mut kept)).await;
    let _ = state.wait_for(|state| state.late_before <= number).await;
    let _ = to.write_all(&kept).await;
}

async fn down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    number: u64,
) {
    let mut bytes = [0; 65_536];
    loop {
        let length = tokio::select! {
            read = from.read(&mut bytes) => read.unwrap_or_default(),
            _ = state.wait_for(|state| number < state.cut_before) => return,
        };
        if length == 0 {
            return;
        }
        // The near side may be gone while what it said before is still on its way.
        if !state.borrow().is_deaf {
            let _ = to.write_all(&bytes[..length]).await;
        }
    }
}
