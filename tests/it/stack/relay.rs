//! A wire between us and a server that a test can cut and mend.

use std::{net::SocketAddr, sync::Arc};

use synaxis::base::tasks::Tasks;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards connections while it is whole.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    is_whole: Arc<watch::Sender<bool>>,
}

impl Relay {
    /// Starts to forward to `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let is_whole = Arc::new(watch::Sender::new(true));
        let watching = is_whole.subscribe();
        Tasks::default().spawn("relay", accept(listener, target, watching));
        Self { address, is_whole }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection; new ones are closed at once.
    pub fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    /// Lets new connections through.
    pub fn mend(&self) {
        self.is_whole.send_replace(true);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, is_whole: watch::Receiver<bool>) {
    let tasks = Tasks::default();
    while let Ok((near, _)) = listener.accept().await {
        if *is_whole.borrow() {
            tasks.spawn("relay connection", forward(near, target, is_whole.clone()));
        }
    }
}

async fn forward(mut near: TcpStream, target: SocketAddr, mut is_whole: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(target).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = is_whole.wait_for(|is_whole| !is_whole) => {}
    }
}
