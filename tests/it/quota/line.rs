//! A line to Redis that can be laid to another server, and made long.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use synaxis::base::tasks::Tasks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::{Instant, sleep_until},
};

/// Where the line leads, and how long an answer is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lay {
    target: SocketAddr,
    delay: Duration,
}

/// Forwards connections as it is laid.
pub struct Line {
    address: SocketAddr,
    lay: Arc<watch::Sender<Lay>>,
}

impl Line {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let delay = Duration::ZERO;
        let lay = Arc::new(watch::Sender::new(Lay { target, delay }));
        Tasks::default().spawn("line", accept(listener, lay.subscribe()));
        Self { address, lay }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Leads elsewhere from now on; the connections there are end.
    pub fn lead_to(&self, target: SocketAddr) {
        self.lay.send_modify(|lay| lay.target = target);
    }

    /// Lets each answer be so long under way.
    pub fn delay(&self, delay: Duration) {
        self.lay.send_modify(|lay| lay.delay = delay);
    }
}

async fn accept(listener: TcpListener, lay: watch::Receiver<Lay>) {
    let tasks = Tasks::default();
    while let Ok((near, _)) = listener.accept().await {
        tasks.spawn("line connection", forward(near, lay.clone()));
    }
}

async fn forward(near: TcpStream, mut lay: watch::Receiver<Lay>) {
    let target = lay.borrow().target;
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let (mut near_read, near_write) = near.into_split();
    let (far_read, mut far_write) = far.into_split();
    let mut moved = lay.clone();
    tokio::select! {
        _ = tokio::io::copy(&mut near_read, &mut far_write) => {}
        () = carry(far_read, near_write, lay.clone()) => {}
        _ = moved.wait_for(|lay| lay.target != target) => {}
    }
    drop(lay.borrow_and_update());
}

/// Carries answers, each after its delay, in their order.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, lay: watch::Receiver<Lay>) {
    let (sender, mut waiting) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async {
        let mut bytes = vec![0; 65_536];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            let due = Instant::now() + lay.borrow().delay;
            if sender.send((due, bytes[..length].to_vec())).is_err() {
                return;
            }
        }
    };
    let write = async {
        while let Some((due, bytes)) = waiting.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}
